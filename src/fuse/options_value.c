/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the value of each of rawmap's own options means. */
#include "fuse_priv.h"
#include "options_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/path.h>
#include <rawmap/base/text.h>
#include <rawmap/dev/parttable.h>

#include <string.h>

#define BLOCKSIZE_MIN 1024
#define BLOCKSIZE_MAX 65536

static bool set_direct(struct mountopts *o, const char *value, GError **error)
{
	enum filedev_direct *ret = &o->source.stack.direct;

	if (strcmp(value, "auto") == 0)
		*ret = FILEDEV_DIRECT_AUTO;
	else if (strcmp(value, "on") == 0)
		*ret = FILEDEV_DIRECT_ON;
	else if (strcmp(value, "off") == 0)
		*ret = FILEDEV_DIRECT_OFF;
	else
		return option_usage(error,
				    "direct=%s: the value is auto, on or off",
				    value);
	return true;
}

static bool set_engine(struct mountopts *o, const char *value, GError **error)
{
	if (strcmp(value, "auto") == 0)
		o->engine = MOUNT_ENGINE_AUTO;
	else if (strcmp(value, "uring") == 0)
		o->engine = MOUNT_ENGINE_URING;
	else if (strcmp(value, "threads") == 0)
		o->engine = MOUNT_ENGINE_THREADS;
	else
		return option_usage(error,
				    "engine=%s: the value is auto, uring or "
				    "threads",
				    value);
	return true;
}

static bool set_pin(struct mountopts *o, const char *value, GError **error)
{
	if (value && strcmp(value, "alloc") != 0)
		return option_usage(error,
				    "pin=%s: the value is alloc, if there is "
				    "one",
				    value);
	o->pin = value ? MOUNT_PIN_ALLOC : MOUNT_PIN_MAP;
	return true;
}

static bool set_number(unsigned *ret, const char *value, const char *what,
		       unsigned min, unsigned max, GError **error)
{
	uint64_t n;

	if (!text_parse_u64(value, what, min, max, &n, error))
		return false;
	*ret = (unsigned)n;
	return true;
}

static bool set_max_read(struct mountopts *o, const char *value,
			 const char *raw, GError **error)
{
	g_ptr_array_add(o->fuse, g_strdup(raw));
	return set_number(&o->max_read, value, "max_read=", 4096, MAX_TRANSFER,
			  error);
}

static bool set_offset(struct mountopts *o, const char *value, GError **error)
{
	o->source.stack.place = STACK_OFFSET;
	return text_parse_size(value, "offset=", &o->source.stack.offset,
			       error);
}

static bool set_partition(struct mountopts *o, const char *value,
			  GError **error)
{
	struct stack_options *stack = &o->source.stack;

	if (strcmp(value, "auto") == 0) {
		stack->place = STACK_AUTO;
		return true;
	}
	stack->place = STACK_PARTITION;
	return set_number(&stack->partition, value, "partition=", 1,
			  PARTTABLE_MAX, error);
}

static bool set_block_size(struct mountopts *o, const char *value,
			   GError **error)
{
	uint64_t size;

	if (!text_parse_size(value, "blocksize=", &size, error))
		return false;
	if (!is_power_of_two(size) || size < BLOCKSIZE_MIN ||
	    size > BLOCKSIZE_MAX)
		return option_usage(error,
				    "blocksize=%s: the value is a power of two "
				    "from 1024 to 65536",
				    value);
	o->source.super_block_size = (uint32_t)size;
	return true;
}

/* An option with two values: what is done without it, and @word. */
static bool set_word(bool *ret, enum own opt, const char *value,
		     const char *without, const char *word, GError **error)
{
	*ret = strcmp(value, word) == 0;
	if (*ret || strcmp(value, without) == 0)
		return true;
	return option_usage(error, "%s=%s: the value is %s or %s",
			    option_name(opt), value, without, word);
}

/* Without a value it is libfuse's. */
static bool set_others(struct mountopts *o, const char *value, const char *raw,
		       GError **error)
{
	if (!value)
		g_ptr_array_add(o->fuse, g_strdup(raw));
	else if (strcmp(value, "auto") == 0)
		o->others_auto = true;
	else
		return option_usage(error,
				    "allow_other=%s: the value is auto, if "
				    "there is one",
				    value);
	return true;
}

static bool set_path(char **ret, const char *value, GError **error)
{
	*ret = path_absolute(value, error);
	return *ret;
}

bool option_set(struct mountopts *o, enum own opt, const char *value,
		const char *raw, GError **error)
{
	struct hostsource_options *source = &o->source;

	switch (opt) {
	case OPT_IMAGE:
		mountopts_add_image(o, value);
		return true;
	case OPT_RO:
		source->stack.readonly = true;
		return true;
	case OPT_COMMIT:
		return set_number(&o->commit, value, "commit=", 1, 86400,
				  error);
	case OPT_SYNC:
		o->sync = true;
		return true;
	case OPT_DISCARD:
		source->discard = true;
		return true;
	case OPT_CACHE:
		return text_parse_size(value, "cache=", &o->cache, error);
	case OPT_PIN:
		return set_pin(o, value, error);
	case OPT_DIRECT:
		return set_direct(o, value, error);
	case OPT_ENGINE:
		return set_engine(o, value, error);
	case OPT_IO_URING:
		o->over_uring = true;
		return true;
	case OPT_THREADS:
		return set_number(&o->threads, value, "threads=", 1, 256,
				  error);
	case OPT_MAX_READ:
		return set_max_read(o, value, raw, error);
	case OPT_OFFSET:
		return set_offset(o, value, error);
	case OPT_PARTITION:
		return set_partition(o, value, error);
	case OPT_JOURNAL:
		return set_path(&source->journal, value, error);
	case OPT_NORECOVERY:
		source->norecovery = true;
		return true;
	case OPT_SB:
		return text_parse_u64(value, "sb=", 1, UINT64_MAX >> 16,
				      &source->super_block, error);
	case OPT_BLOCKSIZE:
		return set_block_size(o, value, error);
	case OPT_DELETED:
		source->deleted = true;
		return true;
	case OPT_UNWRITTEN:
		return set_word(&source->raw_unwritten, opt, value, "zero",
				"raw", error);
	case OPT_ON_ERROR:
		return set_word(&source->stack.zero_on_error, opt, value,
				"fail", "zero", error);
	case OPT_DDRESCUE:
		return set_path(&source->stack.ddrescue, value, error);
	case OPT_COW:
		return set_path(&source->stack.cow, value, error);
	case OPT_AUDIT:
		return set_path(&o->audit, value, error);
	case OPT_ALLOW_OTHER:
		return set_others(o, value, raw, error);
	case OPT_RW:
	case OPT_FUSE:
		break;
	}
	return true;
}
