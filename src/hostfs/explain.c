/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was decided about a host, for who asks by -v. What replayed.c finds in a
 * log that is in use it says itself.
 */
#include "gate_priv.h"

#include <rawmap/base/log.h>
#include <rawmap/jbd/jlog.h>

#include <inttypes.h>

static bool has_journal(const struct hostfs *fs)
{
	return ext2fs_has_feature_journal(fs->fs->super);
}

static void explain_reading(const struct hostfs *fs)
{
	if (fs->log.norecovery)
		log_info("'%s' is shown as it lies on the disk: norecovery "
			 "leaves its journal aside",
			 fs->name);
	else if (!has_journal(fs))
		log_info("'%s' has no journal: there is nothing to replay",
			 fs->name);
	else if (!fs->log.replay && !fs->log.ignored)
		log_info("'%s' has a clean journal: there is nothing to replay",
			 fs->name);
}

static void explain_writing(const struct hostfs *fs)
{
	if (fs->jlog)
		log_info("'%s' has a clean journal: changes are committed "
			 "through its %" PRIu64 " blocks",
			 fs->name, jlog_capacity(fs->jlog));
	else
		log_info("'%s' has no journal: a crash will leave "
			 "work for e2fsck",
			 fs->name);
	if (fs->discard)
		log_info("'%s': blocks that are freed are discarded", fs->name);
}

static void explain_features(const struct hostfs *fs)
{
	g_autofree char *name = NULL;
	struct feature f;

	if (feature_worst(fs->fs->super, &f, &name))
		log_info("'%s' has the feature '%s' and can only be read: %s",
			 fs->name, name, f.why);
}

void hostfs_explain(const struct hostfs *fs)
{
	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	if (fs->super_block)
		log_info("'%s' is opened by the copy of its superblock in block"
			 " %" PRIu64,
			 fs->name, fs->super_block);
	if (fs->readonly) {
		explain_reading(fs);
		explain_features(fs);
	} else {
		explain_writing(fs);
	}
}
