/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was decided about a source, for who asks by -v. */
#include "dev_priv.h"

#include <rawmap/base/log.h>
#include <rawmap/base/text.h>
#include <rawmap/dev/stack.h>

#include <inttypes.h>

static void explain_access(const struct stack *stack, const char *path,
			   const struct stack_options *opt)
{
	if (stack_is_direct(stack))
		log_info("'%s': direct I/O, in units of %" PRIu32 " bytes",
			 path, blkdev_geometry(stack->bottom)->align);
	else if (stack->bottom->ops == &filedev_ops)
		log_info("'%s': I/O through the page cache: %s", path,
			 opt->direct == FILEDEV_DIRECT_OFF
				 ? "direct=off asks for it"
				 : "it has no direct I/O");
	else
		log_info("'%s': an image in the format %s", path,
			 stack->format);
}

static void explain_place(const struct stack *stack, const char *path,
			  const struct stack_options *opt)
{
	g_autofree char *size = text_format_size(stack->length);

	if (stack->partition)
		log_info("'%s': the filesystem is in partition %u%s: %s from "
			 "byte %" PRIu64 " on",
			 path, stack->partition,
			 opt->place == STACK_AUTO
				 ? ", the only one that has one of ours"
				 : "",
			 size, stack->start);
	else if (opt->place == STACK_OFFSET)
		log_info("'%s': the filesystem is looked for in %s from byte "
			 "%" PRIu64 " on",
			 path, size, stack->start);
}

void stack_explain(const struct stack *stack, const char *path,
		   const struct stack_options *opt)
{
	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	explain_access(stack, path, opt);
	explain_place(stack, path, opt);
	if (stack->bad)
		log_info("'%s': what cannot be read %s", path,
			 opt->zero_on_error ? "reads as zeros" : "is an error");
	if (stack->cow)
		log_info("'%s' is only read: changes go to '%s'", path,
			 opt->cow);
}
