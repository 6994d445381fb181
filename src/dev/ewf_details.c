/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an EWF image says of itself. A value that libewf cannot give is one that
 * is not there: none of this is needed to read the image.
 */
#include "ewf_priv.h"

#ifdef HAVE_LIBEWF

#include <string.h>

/* Larger ones are no text that somebody typed. */
#define VALUE_MAX 65536

/* Header values and hash values are asked for in the same way. */
typedef int (*get_size_fn)(libewf_handle_t *handle, const uint8_t *name,
			   size_t name_len, size_t *ret_size,
			   libewf_error_t **error);
typedef int (*get_value_fn)(libewf_handle_t *handle, const uint8_t *name,
			    size_t name_len, uint8_t *value, size_t size,
			    libewf_error_t **error);

static char *value(libewf_handle_t *handle, const char *name,
		   get_size_fn get_size, get_value_fn get_value)
{
	const uint8_t *key = (const uint8_t *)name;
	g_autofree char *text = NULL;
	size_t size = 0;

	if (get_size(handle, key, strlen(name), &size, NULL) != 1 ||
	    size > VALUE_MAX)
		return NULL;
	text = g_malloc0(size + 1);
	if (get_value(handle, key, strlen(name), (uint8_t *)text, size, NULL) !=
	    1)
		return NULL;
	g_strchomp(text);
	return *text ? g_utf8_make_valid(text, -1) : NULL;
}

static char *header(libewf_handle_t *handle, const char *name)
{
	return value(handle, name, libewf_handle_get_utf8_header_value_size,
		     libewf_handle_get_utf8_header_value);
}

static char *hash(libewf_handle_t *handle, const char *name)
{
	return value(handle, name, libewf_handle_get_utf8_hash_value_size,
		     libewf_handle_get_utf8_hash_value);
}

void ewf_details_read(libewf_handle_t *handle, struct ewf_details *ret)
{
	libewf_handle_set_header_values_date_format(
		handle, LIBEWF_DATE_FORMAT_ISO8601, NULL);
	ret->case_number = header(handle, "case_number");
	ret->evidence_number = header(handle, "evidence_number");
	ret->examiner = header(handle, "examiner_name");
	ret->description = header(handle, "description");
	ret->notes = header(handle, "notes");
	ret->acquired = header(handle, "acquiry_date");
	ret->software = header(handle, "acquiry_software_version");
	ret->system = header(handle, "acquiry_operating_system");
	ret->model = header(handle, "model");
	ret->serial = header(handle, "serial_number");
	ret->md5 = hash(handle, "MD5");
	ret->sha1 = hash(handle, "SHA1");
}

void ewf_details_clear(struct ewf_details *details)
{
	g_free(details->case_number);
	g_free(details->evidence_number);
	g_free(details->examiner);
	g_free(details->description);
	g_free(details->notes);
	g_free(details->acquired);
	g_free(details->software);
	g_free(details->system);
	g_free(details->model);
	g_free(details->serial);
	g_free(details->md5);
	g_free(details->sha1);
	*details = (struct ewf_details){ 0 };
}

#endif
