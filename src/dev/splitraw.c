/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Split raw images: which names belong together.
 *
 * A name is a stem, which ends in the last dot, and a suffix, which counts:
 *
 *   suffix    first             next
 *   digits    all 0, or 1       one more; 999 -> 1000
 *   letters   all a             ab, ..., az, ba, ...; yz -> za or zaaa
 *
 * split(1), when nobody told it how wide a suffix has to be, keeps z in front
 * for wider ones, so that names sort as they count: 2 letters up to yz, then z
 * and 3 letters up to yzz, then zz and 4.
 *
 * Numbered files of one directory can be anything, so what does not count on
 * without a gap from a first part is left alone, with two exceptions, where an
 * image would otherwise lose its end in silence: a part shortly behind a gap,
 * and a part that is named instead of the first.
 */
#include <rawmap/dev/splitraw.h>

#include "openfiles.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/concat.h>

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define DIGITS	"0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"

#define DIGITS_MIN  3
#define LETTERS_MIN 2
#define SUFFIX_MAX  9

/*
 * How far behind a gap a part is looked for. Three digits are searched to their
 * end; two letters are an extension of many other files.
 */
#define GAP_DIGITS  999
#define GAP_LETTERS 20

/* A path that could be a part's. */
struct name {
	char *stem; /* with the dot */
	const char *suffix;
	bool digits;
};

static bool consists_of(const char *text, const char *set)
{
	return !text[strspn(text, set)];
}

static bool name_parse(const char *path, struct name *ret)
{
	const char *base = strrchr(path, '/');
	const char *dot = strrchr(path, '.');
	size_t len;

	base = base ? base + 1 : path;
	if (!dot || dot <= base)
		return false;
	len = strlen(dot + 1);
	if (len > SUFFIX_MAX)
		return false;
	ret->digits = consists_of(dot + 1, DIGITS);
	if (len < (ret->digits ? DIGITS_MIN : LETTERS_MIN) ||
	    (!ret->digits && !consists_of(dot + 1, LETTERS)))
		return false;
	ret->suffix = dot + 1;
	ret->stem = g_strndup(path, (size_t)(dot + 1 - path));
	return true;
}

static bool exists(const struct name *n, const char *suffix)
{
	g_autofree char *path = g_strconcat(n->stem, suffix, NULL);
	struct stat st;

	return !stat(path, &st) && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

static char *number(uint64_t value, size_t width)
{
	return g_strdup_printf("%0*" PRIu64, (int)width, value);
}

/* With the same number of letters; NULL behind the last. */
static char *next_letters(const char *suffix)
{
	char *next = g_strdup(suffix);

	for (size_t i = strlen(next); i-- > 0;) {
		if (next[i] != 'z') {
			next[i]++;
			return next;
		}
		next[i] = 'a';
	}
	g_free(next);
	return NULL;
}

static char *next_suffix(const struct name *n, const char *suffix)
{
	if (!n->digits)
		return next_letters(suffix);
	return number(g_ascii_strtoull(suffix, NULL, 10) + 1, strlen(suffix));
}

/* z..., y and z's: one more z in front, then a's, one more than there were. */
static char *widen_letters(const char *suffix)
{
	size_t front = strspn(suffix, "z");
	const char *core = suffix + front;
	g_autofree char *zs = NULL, *as = NULL;

	if (*core != 'y' || core[1 + strspn(core + 1, "z")])
		return NULL;
	zs = g_strnfill(front + 1, 'z');
	as = g_strnfill(strlen(core) + 1, 'a');
	return g_strconcat(zs, as, NULL);
}

/* The suffix of the part that follows; NULL: there is none. */
static char *following(const struct name *n, const char *suffix)
{
	char *next = next_suffix(n, suffix);

	if (next && exists(n, next))
		return next;
	g_free(next);
	next = n->digits ? NULL : widen_letters(suffix);
	if (next && exists(n, next))
		return next;
	g_free(next);
	return NULL;
}

/* A first suffix of which a file is there; NULL: none. */
static char *first_digits(const struct name *n)
{
	uint64_t value = g_ascii_strtoull(n->suffix, NULL, 10);

	for (size_t width = DIGITS_MIN; width <= strlen(n->suffix); width++) {
		g_autofree char *same = number(value, width);

		if (strcmp(same, n->suffix))
			continue;
		for (unsigned first = 0; first <= 1; first++) {
			g_autofree char *suffix = number(first, width);

			if (exists(n, suffix))
				return g_steal_pointer(&suffix);
		}
	}
	return NULL;
}

/* One z in front came with each widening, by two letters. */
static char *first_letters(const struct name *n)
{
	size_t front = strspn(n->suffix, "z");

	for (size_t i = 0; i <= front; i++) {
		size_t len = strlen(n->suffix);
		g_autofree char *suffix = NULL;

		if (len < 2 * i + LETTERS_MIN)
			break;
		suffix = g_strnfill(len - 2 * i, 'a');
		if (exists(n, suffix))
			return g_steal_pointer(&suffix);
	}
	return NULL;
}

static bool is_first(const struct name *n, GError **error)
{
	g_autofree char *first = n->digits ? first_digits(n) : first_letters(n);
	g_autofree char *second = NULL;

	if (!first)
		return false;
	if (!strcmp(first, n->suffix))
		return true;
	second = following(n, first);
	if (second)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "'%s%s' is a part of a split image; name its first "
			    "part, '%s%s'",
			    n->stem, n->suffix, n->stem, first);
	return false;
}

/* @last has no successor: is there a part further behind? */
static bool is_gap_behind(const struct name *n, const char *last,
			  GError **error)
{
	unsigned far = n->digits ? GAP_DIGITS : GAP_LETTERS;
	g_autofree char *missing = next_suffix(n, last);
	g_autofree char *suffix = g_strdup(missing);

	for (unsigned i = 0; suffix && i < far; i++) {
		char *next = next_suffix(n, suffix);

		g_free(suffix);
		suffix = next;
		if (!suffix || !exists(n, suffix))
			continue;
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "part %s is missing: there are '%s%s' and '%s%s', "
			    "but no '%s%s'",
			    missing, n->stem, last, n->stem, suffix, n->stem,
			    missing);
		return true;
	}
	return false;
}

char **splitraw_parts(const char *path, GError **error)
{
	g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *stem = NULL, *suffix = NULL;
	struct name n;

	if (!name_parse(path, &n))
		return NULL;
	stem = n.stem;
	if (!is_first(&n, error))
		return NULL;
	suffix = g_strdup(n.suffix);
	g_ptr_array_add(parts, g_strdup(path));
	for (;;) {
		char *next = following(&n, suffix);

		if (!next)
			break;
		g_ptr_array_add(parts, g_strconcat(stem, next, NULL));
		g_free(suffix);
		suffix = next;
	}
	if (is_gap_behind(&n, suffix, error) || parts->len < 2)
		return NULL;
	g_ptr_array_add(parts, NULL);
	return (char **)g_ptr_array_free(g_steal_pointer(&parts), FALSE);
}

/* Legal, and often a part that was not copied to its end. */
static void tell_short(char *const *parts, struct blkdev *const *devs, size_t n)
{
	uint64_t usual = blkdev_geometry(devs[0])->size;

	for (size_t i = 1; i + 1 < n; i++)
		if (blkdev_geometry(devs[i])->size < usual)
			log_info("'%s' is smaller than '%s', and not the last "
				 "part",
				 parts[i], parts[0]);
}

struct blkdev *splitraw_open(char *const *parts,
			     const struct filedev_options *opt, GError **error)
{
	g_autoptr(GPtrArray) devs =
		g_ptr_array_new_with_free_func((GDestroyNotify)blkdev_unref);
	struct blkdev *whole;
	size_t n = 0;

	while (parts[n])
		n++;
	/* A file device may need a second descriptor, for its tail. */
	if (!openfiles_allow(parts[0], 2 * n, error))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct blkdev *dev = filedev_open(parts[i], opt, error);

		if (!dev)
			return NULL;
		g_ptr_array_add(devs, dev);
	}
	tell_short(parts, (struct blkdev *const *)devs->pdata, n);
	whole = concat_new((struct blkdev *const *)devs->pdata, n);
	if (!whole)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' and the parts that follow it are larger than "
			    "a file can be",
			    parts[0]);
	return whole;
}
