/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One state before its judges: those that all hosts have. */
#include <support/crashlab_priv.h>

#include <rawmap/base/crc32c.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/filedev.h>
#include <rawmap/map/extmap.h>

#include <ext2fs/ext2_fs.h>
#include <string.h>
#include <unistd.h>

#define S_STATE	   58
#define S_INCOMPAT 96

bool crashlab_is_clean(const struct crashlab *lab, const uint8_t *bytes)
{
	if (lab->journal)
		return !(crashlab_super_u32(bytes, S_INCOMPAT) &
			 EXT3_FEATURE_INCOMPAT_RECOVER);
	return crashlab_super_u32(bytes, S_STATE) & EXT2_VALID_FS;
}

struct blkdev *crashlab_dev(const struct crashlab_copy *c, bool readonly)
{
	const struct filedev_options opt = {
		.readonly = readonly,
		.direct = FILEDEV_DIRECT_OFF,
	};
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", c->fd);
	GError *error = NULL;
	struct blkdev *dev = filedev_open(path, &opt, &error);

	if (!dev)
		g_error("crashlab: %s", error->message);
	return dev;
}

/* ---- what the engine reads ---- */

static uint32_t add_extent(const struct extent *e, uint32_t sum)
{
	const uint64_t fields[] = { e->start.v, e->len,
				    e->state == EXTENT_HOLE ? 0 : e->phys.v,
				    e->state };

	return crc32c(sum, fields, sizeof(fields));
}

/* The whole map goes into the sum, extent by extent. */
static char *read_map(struct crashlab *lab, struct hostfile *hf, uint32_t *sum,
		      bool *owned)
{
	uint64_t end = (uint64_t)lab->spec.far + 4096;
	struct extent e;

	for (uint64_t at = 0; at < end; at += e.len) {
		int err = hostfile_map_at(hf, lblk_at(at), end - at, &e);

		if (err)
			return g_strdup_printf("the map: %s", g_strerror(-err));
		*sum = add_extent(&e, *sum);
		for (uint64_t i = 0;
		     owned && e.state != EXTENT_HOLE && i < e.len; i++)
			owned[e.phys.v + i] = true;
	}
	return NULL;
}

static uint32_t sum_system(const struct crashlab *lab, const uint8_t *bytes)
{
	uint32_t bs = lab->spec.block_size, sum = ~UINT32_C(0);

	for (size_t b = 0; b < lab->host_size / bs; b++)
		if (lab->is_system[b])
			sum = crc32c(sum, bytes + b * bs, bs);
	return sum;
}

static char *judge_file(struct crashlab *lab, struct hostfile *hf,
			const struct oracle_window *w, uint32_t *sum,
			bool *owned)
{
	char *wrong = hostfile_check(hf);
	struct image *img;

	if (!wrong && sum)
		wrong = read_map(lab, hf, sum, owned);
	if (wrong || !w) {
		hostfile_close(hf);
		return wrong;
	}
	img = image_new(hf, true);
	wrong = oracle_judge(lab->oracle, *w, img);
	image_free(img);
	return wrong;
}

char *crashlab_judge_content(struct crashlab *lab,
			     const struct crashlab_copy *c,
			     const struct oracle_window *w, const char *when,
			     uint32_t *ret_sum, bool *owned)
{
	const struct hostfs_options opt = { .readonly = true };
	g_autoptr(blkdev) dev = crashlab_dev(c, true);
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);
	g_autofree char *wrong = NULL;
	struct hostfile *hf = NULL;

	if (fs)
		hf = hostfile_open(fs, CRASHLAB_IMAGE, 1 << 20, &error);
	if (!hf) {
		hostfs_close(fs);
		return g_strdup_printf("%s: %s", when, error->message);
	}
	if (ret_sum)
		*ret_sum = sum_system(lab, c->bytes);
	wrong = judge_file(lab, hf, w, ret_sum, owned);
	hostfs_close(fs);
	return wrong ? g_strdup_printf("%s: %s", when, wrong) : NULL;
}

/* ---- others ---- */

/* A person who reads it knows what to do. */
static bool names_ways_out(const struct crashlab *lab, const char *message)
{
	return strstr(message, "e2fsck -p") &&
	       (!lab->journal || strstr(message, "rawmap recover"));
}

/* Not clean: nobody may write there. */
char *crashlab_judge_refusal(struct crashlab *lab)
{
	const struct hostfs_options opt = { .use_reserved = true };
	g_autoptr(blkdev) dev = crashlab_dev(&lab->state, false);
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);

	if (fs) {
		hostfs_abandon(fs);
		return g_strdup("opened for writing, and not clean");
	}
	if (!g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_DIRTY) ||
	    !names_ways_out(lab, error->message))
		return g_strdup_printf("refused, but with: %s", error->message);
	return NULL;
}

/* The twin is what the other judges leave alone. */
static char *judge_dump(struct crashlab *lab, struct oracle_window w)
{
	const struct crashlab_copy *c = lab->journal ? &lab->twin : &lab->state;
	size_t len;
	g_autofree uint8_t *bytes = crashlab_dump(lab, c, &len);
	g_autofree char *wrong = oracle_judge_bytes(lab->oracle, w, bytes, len);

	return wrong ? g_strconcat("debugfs: ", wrong, NULL) : NULL;
}

char *crashlab_judge_consistency(struct crashlab *lab,
				 const struct crashlab_copy *c,
				 const char *when)
{
	g_autofree char *out = NULL;
	int status = crashlab_fsck(lab, c, "-fn", &out);

	if (!status)
		return NULL;
	return g_strdup_printf("%s, and e2fsck -fn: %d\n%s", when, status, out);
}

char *crashlab_verdict(struct crashlab *lab, const struct crashlab_verdict *v,
		       struct crashlab_result *ret)
{
	char *wrong;

	if (crashlab_is_clean(lab, lab->state.bytes) && v->must_be_dirty)
		return g_strdup("marked clean in the middle of changes");
	wrong = lab->journal ? crashlab_verdict_journal(lab, v, ret)
			     : crashlab_verdict_ordered(lab, v, ret);
	/* Of an image with a far end that is a lot. */
	if (!wrong && v->sample && v->seed % 4 == 0) {
		wrong = judge_dump(lab, v->window);
		ret->dumped++;
	}
	return wrong;
}
