/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A reader of ddrescue's map files, as the chapter "Mapfile structure" of its
 * manual describes them.
 *
 *   line                 content
 *   first                position, one of ? * / - F G +, number of the pass
 *                        (which versions before 1.20 do not write)
 *   all others           position, size, one of ? * / - +
 *   empty, or a comment  nothing; # begins one at the begin of a line or
 *                        behind blanks
 *
 * Numbers are written as in C: decimal, 0x hexadecimal, 0 octal. Each block
 * begins where the one before ends; a map with gaps (ddrescuelog calls it
 * loose) is refused, as it may as well be one of which lines are missing.
 *
 * Strict, since what is misread here is evidence later. Memory is bounded: a
 * line by its buffer, the ranges by their set.
 */
#include <rawmap/dev/ddrescue.h>

#include <rawmap/base/error.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Three numbers of 22 octal digits, and zeros before them. */
#define LINE_BYTES 256
#define POS_END	   ((uint64_t)INT64_MAX)

struct reader {
	const char *path;
	FILE *file;
	uint64_t line;	       /* the number of the one in text */
	char text[LINE_BYTES]; /* no comment, one blank between words */
	struct badranges *bad;
	uint64_t end; /* of the last block */
	uint64_t blocks;
};

static bool refuse(const struct reader *r, const char *why, GError **error)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "'%s', line %" PRIu64 ": %s", r->path, r->line, why);
	return false;
}

/* ---- lines ---- */

/* False: no line of text. *ret_more is false at the end of the file. */
static bool take_line(struct reader *r, bool *ret_more)
{
	bool blank = true, comment = false;
	size_t len = 0;
	int c;

	r->line++;
	while ((c = getc_unlocked(r->file)) != EOF && c != '\n') {
		if (c == '#' && blank)
			comment = true;
		if (comment)
			continue;
		if (g_ascii_isspace(c)) {
			blank = true;
			continue;
		}
		if (!g_ascii_isprint(c) || len + 2 >= sizeof(r->text))
			return false;
		if (blank && len)
			r->text[len++] = ' ';
		r->text[len++] = (char)c;
		blank = false;
	}
	r->text[len] = '\0';
	*ret_more = c != EOF;
	return true;
}

/* The next one with something on it. *ret_more is false when there is none. */
static bool next_line(struct reader *r, bool *ret_more, GError **error)
{
	do {
		if (!take_line(r, ret_more))
			return refuse(r, "this is no text of a map file",
				      error);
	} while (*ret_more && !*r->text);
	if (!*ret_more && ferror(r->file)) {
		error_set_errno(error, RAWMAP_ERROR_IO, errno,
				"cannot read '%s'", r->path);
		return false;
	}
	/* The last line may lack its end. */
	*ret_more = *r->text != '\0';
	return true;
}

/* ---- words ---- */

/* Is the word over? Then on to the next one. */
static bool skip_blank(const char **p)
{
	if (**p == ' ')
		++*p;
	else if (**p)
		return false;
	return true;
}

static bool take_number(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t number = 0;
	unsigned base = 10;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	} else if (s[0] == '0') {
		base = 8;
	}
	*p = s;
	for (; g_ascii_isxdigit(*s); s++) {
		unsigned digit = (unsigned)g_ascii_xdigit_value(*s);

		if (digit >= base || number > (POS_END - digit) / base)
			return false;
		number = number * base + digit;
	}
	if (s == *p)
		return false;
	*p = s;
	*ret = number;
	return skip_blank(p);
}

static bool take_status(const char **p, const char *known, char *ret)
{
	*ret = **p;
	if (!**p || !strchr(known, **p))
		return false;
	++*p;
	return skip_blank(p);
}

/* ---- the file ---- */

static bool read_status(struct reader *r, GError **error)
{
	const char *p = r->text;
	uint64_t pos, pass;
	char status;

	if (!take_number(&p, &pos) || !take_status(&p, "?*/-FG+", &status))
		return refuse(r,
			      "a ddrescue map file begins with a position and "
			      "one of ? * / - F G +",
			      error);
	if (!*p)
		return true;
	if (*p == '0' || !take_number(&p, &pass) || *p)
		return refuse(r,
			      "behind the status comes the number of the pass "
			      "and nothing else",
			      error);
	return true;
}

static bool check_block(const struct reader *r, uint64_t pos, uint64_t len,
			GError **error)
{
	if (len > POS_END - pos)
		return refuse(r, "the block ends behind byte 2^63 - 1", error);
	if (r->blocks && pos != r->end) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s', line %" PRIu64 ": the block begins at byte "
			    "%" PRIu64 ", the one before ends at byte %" PRIu64,
			    r->path, r->line, pos, r->end);
		return false;
	}
	return true;
}

static bool read_block(struct reader *r, GError **error)
{
	const char *p = r->text;
	uint64_t pos, len;
	char status;

	if (!take_number(&p, &pos) || !take_number(&p, &len) ||
	    !take_status(&p, "?*/-+", &status) || *p)
		return refuse(r,
			      "a block is a position, a size and one of "
			      "? * / - +",
			      error);
	if (!check_block(r, pos, len, error))
		return false;
	if (!r->blocks)
		badranges_add(r->bad, dev_off_at(0), pos);
	if (status != '+')
		badranges_add(r->bad, dev_off_at(pos), len);
	r->end = pos + len;
	r->blocks++;
	return true;
}

static bool read_map(struct reader *r, GError **error)
{
	bool more;

	if (!next_line(r, &more, error))
		return false;
	if (!more)
		return refuse(r,
			      "the file is over and had no status line; is it "
			      "a map file of ddrescue?",
			      error);
	if (!read_status(r, error))
		return false;
	for (;;) {
		if (!next_line(r, &more, error))
			return false;
		if (!more)
			break;
		if (!read_block(r, error))
			return false;
	}
	if (!r->blocks)
		return refuse(r, "the file is over and had no block", error);
	badranges_add(r->bad, dev_off_at(r->end), POS_END - r->end);
	return true;
}

bool ddrescue_read(const char *path, struct badranges *ret, GError **error)
{
	g_autoptr(badranges) bad = badranges_new(BADRANGES_MAX);
	struct reader r = { .path = path, .bad = bad };
	bool ok;

	r.file = fopen(path, "re");
	if (!r.file) {
		int err = errno;

		error_set_errno(error,
				err == ENOENT ? RAWMAP_ERROR_NOT_FOUND
					      : RAWMAP_ERROR_IO,
				err, "cannot open '%s'", path);
		return false;
	}
	ok = read_map(&r, error);
	fclose(r.file);
	if (ok)
		badranges_merge(ret, bad);
	return ok;
}
