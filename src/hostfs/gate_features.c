/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allow-list of features: one line each, with the name that mke2fs and
 * tune2fs use. A feature stands for an agreement about what is on disk; what is
 * not in the table is unknown. By the rules of ext2/3/4 an unknown compatible
 * feature hurts nobody, an unknown ro_compat one allows reading, an unknown
 * incompatible one allows nothing.
 */
#include "gate_priv.h"

#define ANY FEATURE_WRITABLE
#define RO  FEATURE_READABLE
#define NO  FEATURE_REFUSED

static const struct feature features[] = {
	/* compatible */
	{ 0, 0x0001, "dir_prealloc", ANY, NULL },
	{ 0, 0x0002, "imagic_inodes", ANY, NULL },
	{ 0, 0x0004, "has_journal", ANY, NULL },
	{ 0, 0x0008, "ext_attr", ANY, NULL },
	{ 0, 0x0010, "resize_inode", ANY, NULL },
	{ 0, 0x0020, "dir_index", ANY, NULL },
	{ 0, 0x0040, "lazy_bg", RO, "its groups have no bitmaps yet" },
	{ 0, 0x0100, "snapshot_bitmap", RO, "its snapshots would change" },
	{ 0, 0x0200, "sparse_super2", ANY, NULL },
	{ 0, 0x0400, "fast_commit", RO,
	  "fast commits cannot be replayed; 'tune2fs -O ^fast_commit' turns"
	  " them off" },
	{ 0, 0x0800, "stable_inodes", ANY, NULL },
	{ 0, 0x1000, "orphan_file", ANY, NULL },

	/* incompatible */
	{ 1, 0x0001, "compression", NO, "its files are compressed" },
	{ 1, 0x0002, "filetype", ANY, NULL },
	{ 1, 0x0004, "needs_recovery", ANY, NULL }, /* a state: gate.c */
	{ 1, 0x0008, "journal_dev", NO,
	  "it is the journal of another filesystem; name that one" },
	{ 1, 0x0010, "meta_bg", ANY, NULL },
	{ 1, 0x0040, "extent", ANY, NULL },
	{ 1, 0x0080, "64bit", ANY, NULL },
	{ 1, 0x0100, "mmp", RO,
	  "multi-mount protection needs a heartbeat; 'tune2fs -O ^mmp' turns it"
	  " off" },
	{ 1, 0x0200, "flex_bg", ANY, NULL },
	{ 1, 0x0400, "ea_inode", ANY, NULL },
	{ 1, 0x1000, "dirdata", NO, "its folders have another format" },
	{ 1, 0x2000, "metadata_csum_seed", ANY, NULL },
	{ 1, 0x4000, "large_dir", ANY, NULL },
	{ 1, 0x8000, "inline_data", ANY, NULL },
	{ 1, 0x10000, "encrypt", ANY, NULL },
	{ 1, 0x20000, "casefold", ANY, NULL },

	/* read-only compatible */
	{ 2, 0x0001, "sparse_super", ANY, NULL },
	{ 2, 0x0002, "large_file", ANY, NULL },
	{ 2, 0x0008, "huge_file", ANY, NULL },
	{ 2, 0x0010, "uninit_bg", ANY, NULL },
	{ 2, 0x0020, "dir_nlink", ANY, NULL },
	{ 2, 0x0040, "extra_isize", ANY, NULL },
	{ 2, 0x0080, "snapshot", RO, "its snapshots would change" },
	{ 2, 0x0100, "quota", RO,
	  "quota would not be kept; 'tune2fs -O ^quota' turns it off" },
	{ 2, 0x0200, "bigalloc", RO, "it allocates clusters, not blocks" },
	{ 2, 0x0400, "metadata_csum", ANY, NULL },
	{ 2, 0x0800, "replica", RO, "its files are replicated" },
	{ 2, 0x1000, "read-only", RO,
	  "it is marked so; 'tune2fs -O ^read-only' takes that back" },
	{ 2, 0x2000, "project", RO,
	  "project quota would not be kept; 'tune2fs -O ^project' turns it"
	  " off" },
	{ 2, 0x4000, "shared_blocks", RO, "its files share blocks" },
	{ 2, 0x8000, "verity", ANY, NULL },
	{ 2, 0x10000, "orphan_present", ANY, NULL }, /* a state: gate.c */
};

static uint32_t set_of(const struct ext2_super_block *super, unsigned set)
{
	switch (set) {
	case 0:
		return super->s_feature_compat;
	case 1:
		return super->s_feature_incompat;
	default:
		return super->s_feature_ro_compat;
	}
}

static const struct feature *find(unsigned set, uint32_t bit)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
		if (features[i].set == set && features[i].bit == bit)
			return &features[i];
	return NULL;
}

/* Number @n of all 96 bits, as one feature. */
static bool feature_at(const struct ext2_super_block *super, unsigned n,
		       struct feature *ret)
{
	static const enum feature_policy unknown[] = { ANY, NO, RO };
	uint32_t bit = UINT32_C(1) << n % 32;
	const struct feature *known;

	if (!(set_of(super, n / 32) & bit))
		return false;
	known = find(n / 32, bit);
	*ret = known ? *known
		     : (struct feature){
			       .set = n / 32,
			       .bit = bit,
			       .policy = unknown[n / 32],
			       .why = "nobody here knows what it means",
		       };
	return true;
}

/* As e2fsprogs calls those without a name. */
static char *name_of(const struct feature *f)
{
	if (f->name)
		return g_strdup(f->name);
	return g_strdup_printf("FEATURE_%c%u", "CIR"[f->set],
			       (unsigned)__builtin_ctz(f->bit));
}

bool feature_worst(const struct ext2_super_block *super, struct feature *ret,
		   char **ret_name)
{
	struct feature f, worst = { .policy = ANY };

	for (unsigned n = 0; n < 96; n++)
		if (feature_at(super, n, &f) && f.policy > worst.policy)
			worst = f;
	if (worst.policy == ANY)
		return false;
	*ret = worst;
	*ret_name = name_of(&worst);
	return true;
}

char *gate_features(const struct ext2_super_block *super)
{
	GString *text = g_string_new(NULL);
	struct feature f;

	for (unsigned n = 0; n < 96; n++) {
		g_autofree char *name = NULL;

		if (!feature_at(super, n, &f))
			continue;
		name = name_of(&f);
		g_string_append_printf(text, "%s%s", text->len ? " " : "",
				       name);
	}
	return g_string_free(text, FALSE);
}
