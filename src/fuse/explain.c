/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was decided about a mount, for who asks by -v. Source, host and engine
 * have spoken for themselves by then.
 */
#include "fuse_priv.h"

#include <rawmap/base/log.h>
#include <rawmap/base/text.h>

static void explain_image(const struct session *s, struct image *img,
			  uint64_t cache)
{
	const struct hostfile *hf = image_file(img);
	g_autofree char *size = text_format_size(image_size(img));
	g_autofree char *memory = text_format_size(cache);

	if (s->pin) {
		log_info("'%s', %s, is shown %s '%s', and its map stays in "
			 "memory",
			 hostfile_path(hf), size, s->naked ? "at" : "in",
			 s->mountpoint);
		return;
	}
	log_info("'%s', %s, is shown %s '%s', and its map may take %s of "
		 "memory",
		 hostfile_path(hf), size, s->naked ? "at" : "in", s->mountpoint,
		 memory);
}

static void explain_access(const struct session *s, const struct mountopts *opt)
{
	if (mountopts_has_fuse(opt, "allow_other"))
		log_info("every user may use the images, as far as their "
			 "permissions go: allow_other");
	else if (mountopts_has_fuse(opt, "allow_root"))
		log_info("user %u and root may use the images: allow_root",
			 (unsigned)s->uid);
	else if (s->uid)
		log_info("only user %u may use the images, not even root: "
			 "losetup and mount need -o allow_other",
			 (unsigned)s->uid);
	else
		log_info("only root may use the images; -o allow_other lets "
			 "others in");
}

static void explain_changes(const struct session *s)
{
	if (s->readonly)
		log_info("nothing is written, neither images nor anything else "
			 "of '%s'",
			 s->source);
	else if (s->sync)
		log_info("each change is durable before its call returns: "
			 "sync");
	else
		log_info("changes are durable after an fsync, or %u s",
			 s->commit);
}

void session_explain(const struct session *s, const struct mountopts *opt)
{
	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	for (guint i = 0; i < s->images->len; i++)
		explain_image(s, g_ptr_array_index(s->images, i), opt->cache);
	explain_changes(s);
	explain_access(s, opt);
}
