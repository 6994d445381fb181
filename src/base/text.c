/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers between people and the program. Parsing is strict: no sign, no
 * blanks, no point, nothing behind; what a user mistyped is never guessed.
 * Nothing here depends on the locale.
 */
#include <rawmap/base/text.h>

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <inttypes.h>
#include <string.h>

/* Each is 1024 times the one before. */
static const char suffixes[] = "KMGT";

enum digits { DIGITS_OK, DIGITS_NONE, DIGITS_OVERFLOW };

/*
 * Reads the digits at *text and moves it behind them. What overflows is read
 * to its end too, so that the caller can tell a big number from a typing error.
 */
static enum digits parse_digits(const char **text, uint64_t *ret)
{
	enum digits result = DIGITS_OK;
	uint64_t number = 0;
	const char *p = *text;

	if (!g_ascii_isdigit(*p))
		return DIGITS_NONE;
	for (; g_ascii_isdigit(*p); p++) {
		if (!u64_mul(number, 10, &number) ||
		    !u64_add(number, (uint64_t)(*p - '0'), &number))
			result = DIGITS_OVERFLOW;
	}
	*text = p;
	*ret = number;
	return result;
}

/* The shift that the suffix @text stands for; -1 when it is none. */
static int parse_suffix(const char *text)
{
	const char *found;

	if (!*text)
		return 0;
	found = strchr(suffixes, g_ascii_toupper(*text));
	if (!found || (text[1] && strcmp(text + 1, "iB") != 0))
		return -1;
	return 10 * (int)(found - suffixes + 1);
}

bool text_parse_size(const char *text, const char *what, uint64_t *ret_bytes,
		     GError **error)
{
	const char *p = text;
	uint64_t number = 0, bytes = 0;
	enum digits digits = parse_digits(&p, &number);
	int shift = digits == DIGITS_NONE ? -1 : parse_suffix(p);

	if (shift < 0) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "%s: '%s' is not a size; write a whole number, with"
			    " K, M, G or T behind it if you like",
			    what, text);
		return false;
	}
	if (digits == DIGITS_OVERFLOW ||
	    !u64_mul(number, UINT64_C(1) << shift, &bytes)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "%s: '%s' is too large", what, text);
		return false;
	}
	*ret_bytes = bytes;
	return true;
}

bool text_parse_u64(const char *text, const char *what, uint64_t min,
		    uint64_t max, uint64_t *ret, GError **error)
{
	const char *p = text;
	uint64_t number = 0;
	enum digits digits = parse_digits(&p, &number);

	if (digits == DIGITS_NONE || *p) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "%s: '%s' is not a whole number", what, text);
		return false;
	}
	if (digits == DIGITS_OVERFLOW || number < min || number > max) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "%s: %s is not between %" PRIu64 " and %" PRIu64,
			    what, text, min, max);
		return false;
	}
	*ret = number;
	return true;
}

char *text_format_size(uint64_t bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	uint64_t whole = bytes, rest = 0;
	unsigned i = 0, tenths;

	for (; whole >= 1024 && i + 1 < G_N_ELEMENTS(units); i++) {
		rest = whole % 1024;
		whole /= 1024;
	}
	/* What the divisions before the last lost is less than any tie. */
	tenths = (unsigned)((rest * 10 + 512) / 1024);
	if (tenths == 10) {
		tenths = 0;
		whole++;
	}
	if (whole == 1024 && i + 1 < G_N_ELEMENTS(units)) {
		whole = 1;
		i++;
	}
	if (!tenths)
		return g_strdup_printf("%" PRIu64 " %s", whole, units[i]);
	return g_strdup_printf("%" PRIu64 ".%u %s", whole, tenths, units[i]);
}
