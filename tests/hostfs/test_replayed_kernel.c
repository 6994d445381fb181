/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a read-only host shows through its log, judged by the kernel: hosts that
 * it left dirty under random work, the power pulled or copied while mounted. It
 * mounts a copy, which replays; every file must be there here and there, with
 * the same bytes, and of every name that it does not have there must be none.
 * Then the logs are damaged: what the kernel refuses is refused here, and what it
 * does not is the same to both.
 *
 * RAWMAP_FULL=1: many more of each.
 */
#include "kernel_bed.h"
#include "kernel_judge.h"

#include <rawmap/base/endian.h>
#include <rawmap/jbd/format.h>
#include <rawmap/map/extent.h>

#include <support/hostimg.h>
#include <support/memdev.h>

#include <stdlib.h>

#define HOST_SIZE    (UINT64_C(24) << 20)
#define JOURNAL_SIZE (UINT64_C(6) << 20)
#define STEPS	     220
#define TAIL_STEPS   25
#define SKIPPED	     77

static const struct shape {
	const char *mkfs, *mount;
	uint32_t outside; /* block size of a journal on another device; 0 */
	bool no_fsync;	  /* it would make fast commits */
	bool sums;	  /* the log has checksums: damage is always found */
} shapes[] = {
	{ "-t ext3 -b 1024 -J size=1", "", 0, false, false },
	{ "-t ext3 -b 4096 -J size=4", "", 0, false, false },
	{ "-t ext3 -b 1024 -J size=1", "data=journal", 0, false, false },
	{ "-t ext4 -b 1024 -J size=1 -O ^metadata_csum,^64bit", "", 0, false,
	  false },
	{ "-t ext4 -b 4096 -J size=4 -O ^metadata_csum,^64bit", "data=journal",
	  0, false, false },
	{ "-t ext4 -b 1024 -J size=1 -O ^metadata_csum,64bit",
	  "journal_checksum", 0, false, false },
	{ "-t ext4 -b 1024 -J size=1 -O metadata_csum,64bit", "", 0, false,
	  true },
	{ "-t ext4 -b 4096 -J size=4 -O metadata_csum,64bit", "", 0, false,
	  true },
	{ "-t ext4 -b 1024 -J size=1 -O metadata_csum,^64bit", "data=journal",
	  0, false, true },
	{ "-t ext4 -b 4096 -J size=4 -O metadata_csum,64bit", "data=journal", 0,
	  false, true },
	/* Orphans that it cannot remove are a reason for the kernel. */
	{ "-t ext4 -b 1024 -J size=1 -O orphan_file", "", 0, false, false },
	{ "-t ext4 -b 1024 -J size=2 -O fast_commit", "", 0, true, true },
	{ "-t ext4 -b 2048 -J size=2 -O metadata_csum",
	  "data=writeback,journal_async_commit", 0, false, true },
	{ "-t ext4 -b 4096", "", 4096, false, true },
	{ "-t ext4 -b 1024", "data=journal", 1024, false, true },
	{ "-t ext3 -b 1024", "", 1024, false, false },
};

#define N_SHAPES ((int)G_N_ELEMENTS(shapes))

static int rounds(int normal)
{
	return g_getenv("RAWMAP_FULL") ? 12 * normal : normal;
}

struct bed {
	const struct shape *shape;
	struct hostimg *img, *journal; /* journal: NULL when inside */
	GArray *extents;      /* struct extent: of the journal inside */
	uint8_t *bytes, *log; /* when the plug was pulled */
	size_t size, log_size;
	GRand *rand;
};

/* ---- making ---- */

static void make_images(struct bed *bed, struct kernel_loop *log)
{
	const struct shape *s = bed->shape;
	g_autofree char *dev =
		g_strdup_printf("-O journal_dev -b %u", s->outside);
	g_autofree char *mkfs = NULL;
	struct hostimg_spec journal = { .mkfs = dev, .size = JOURNAL_SIZE };
	struct hostimg_spec host = { .mkfs = s->mkfs, .size = HOST_SIZE };

	if (s->outside) {
		bed->journal = hostimg_make(&journal);
		kernel_loop(log, hostimg_path(bed->journal));
		mkfs = g_strdup_printf("%s -J device=%s", s->mkfs, log->name);
		host.mkfs = mkfs;
	}
	bed->img = hostimg_make(&host);
	bed->extents = hostimg_extents(bed->img, "<8>");
}

/* Commits come when they are asked for. */
static char *options_of(const struct bed *bed, const struct kernel_loop *log)
{
	GString *text = g_string_new("commit=300");

	if (bed->shape->mount[0])
		g_string_append_printf(text, ",%s", bed->shape->mount);
	if (log)
		g_string_append_printf(text, ",journal_path=%s", log->name);
	return g_string_free(text, FALSE);
}

static void capture(struct bed *bed)
{
	bed->bytes = hostimg_bytes(bed->img, &bed->size);
	if (bed->journal)
		bed->log = hostimg_bytes(bed->journal, &bed->log_size);
}

/* The end: something not committed, and a file that is open and has no name. */
static void leave(struct bed *bed, struct load *load, bool plug)
{
	int fd = load_open(load);

	ck_assert_int_ge(fd, 0);
	load_write(load, fd);
	load_remove_folder(load);
	ck_assert_int_eq(syncfs(load->root), 0);
	load_run(load, TAIL_STEPS);
	if (plug)
		kernel_pull_the_plug(load->root);
	else
		capture(bed);
	close(fd);
	kernel_umount(load->root);
	if (plug)
		capture(bed);
}

static void bed_init(struct bed *bed, const struct shape *shape, guint seed,
		     bool plug)
{
	struct kernel_loop loop, log = { .fd = -1 };
	struct load load = { .fsync = !shape->no_fsync };
	g_autofree char *options = NULL;

	*bed = (struct bed){ .shape = shape };
	bed->rand = g_rand_new_with_seed(seed);
	load.rand = bed->rand;
	make_images(bed, &log);
	options = options_of(bed, bed->journal ? &log : NULL);
	kernel_loop(&loop, hostimg_path(bed->img));
	load.root = kernel_mount(&loop, 0, options);
	kernel_loop_close(&loop);
	if (bed->journal)
		kernel_loop_close(&log);
	load_run(&load, STEPS);
	leave(bed, &load, plug);
}

static void bed_clear(struct bed *bed)
{
	hostimg_free(bed->img);
	hostimg_free(bed->journal);
	g_array_unref(bed->extents);
	g_free(bed->bytes);
	g_free(bed->log);
	g_rand_free(bed->rand);
}

/* ---- both sides ---- */

/* The kernel's, of a copy; or -errno. */
static int mount_copy(struct bed *bed)
{
	struct kernel_loop loop, log;
	g_autofree char *options = NULL;
	int root;

	hostimg_store(bed->img, bed->bytes, bed->size);
	kernel_loop(&loop, hostimg_path(bed->img));
	if (bed->journal) {
		hostimg_store(bed->journal, bed->log, bed->log_size);
		kernel_loop(&log, hostimg_path(bed->journal));
		options = g_strdup_printf("journal_path=%s", log.name);
	}
	root = kernel_mount_try(&loop, MS_RDONLY, options);
	kernel_loop_close(&loop);
	if (bed->journal)
		kernel_loop_close(&log);
	return root;
}

static struct blkdev *mem_of(const uint8_t *bytes, size_t len)
{
	return memdev_new_readonly(bytes, len, 512);
}

static struct hostfs *open_ours(const struct bed *bed, GError **error)
{
	g_autoptr(blkdev) dev = mem_of(bed->bytes, bed->size);
	g_autoptr(blkdev) log = bed->journal ? mem_of(bed->log, bed->log_size)
					     : NULL;
	const struct hostfs_options opt = {
		.readonly = true,
		.journal_dev = log,
	};

	return seen_open(dev, &opt, error);
}

START_TEST(files_are_as_the_kernel_shows_them)
{
	const struct shape *shape = &shapes[_i % N_SHAPES];
	bool plug = (_i + _i / N_SHAPES) % 2;
	g_autoptr(GError) error = NULL;
	struct hostfs_info info;
	struct bed bed;
	struct hostfs *fs;
	int root;

	bed_init(&bed, shape, (guint)_i, plug);
	fs = open_ours(&bed, &error);
	ck_assert_msg(fs != NULL, "%s", error ? error->message : "");
	hostfs_info(fs, &info);
	hostfs_info_clear(&info);
	ck_assert(info.replayed);
	ck_assert_uint_gt(info.replay.transactions, 0);
	root = mount_copy(&bed);
	ck_assert_msg(root >= 0, "the kernel: %s", g_strerror(-root));
	ck_assert_uint_gt(judge_all(fs, root, false), 0);
	kernel_umount(root);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

/* ---- damage ---- */

/* Where block @n of the journal starts. */
static uint8_t *log_block(struct bed *bed, uint32_t n)
{
	uint32_t bs = bed->shape->outside;
	const struct extent *e;
	guint i = 0;

	if (bed->journal)
		return bed->log + (n ? n : (bs == 1024 ? 2u : 1u)) * bs;
	bs = UINT32_C(1024) << *(uint32_t *)(void *)(bed->bytes + 1024 + 24);
	do {
		ck_assert_uint_lt(i, bed->extents->len);
		e = &g_array_index(bed->extents, struct extent, i++);
	} while (n >= extent_end(e));
	return bed->bytes + (e->phys.v + n - e->start.v) * bs;
}

static void spoil(struct bed *bed, uint8_t *block, size_t bs)
{
	size_t at = load_pick(&(struct load){ .rand = bed->rand }, (guint)bs);
	guint what = (guint)g_rand_int_range(bed->rand, 0, 5);

	switch (what) {
	case 0: /* one bit */
		block[at] ^= (uint8_t)(1u << at % 8);
		break;
	case 1: /* never written */
		memset(block, 0, bs);
		break;
	case 2: /* a sector of something else: torn */
		memset(block + at / 512 * 512, 0x77, bs - at / 512 * 512);
		break;
	case 3: /* an impossible sequence */
		block[8] ^= 0x40;
		break;
	default: /* another type */
		block[7] ^= 0x07;
	}
}

/*
 * One block of the log that counts, or of its first control blocks, which are
 * few among many.
 */
static void damage(struct bed *bed, uint32_t log_blocks)
{
	const struct jbd_super *super = (const void *)log_block(bed, 0);
	uint32_t first = be32_get(super->first);
	uint32_t last = be32_get(super->maxlen);
	uint32_t bs = be32_get(super->blocksize), n = 0;
	uint32_t at = be32_get(super->start);
	uint32_t skip =
		(uint32_t)g_rand_int_range(bed->rand, 0, (gint32)log_blocks);
	bool control = g_rand_boolean(bed->rand);
	uint8_t *block;

	if (be32_get(super->incompat) & JBD_INCOMPAT_FAST_COMMIT)
		last -= be32_get(super->num_fc_blocks);
	do {
		uint32_t where =
			first + (at - first + skip + n++) % (last - first);

		block = log_block(bed, where);
	} while (control && n < log_blocks &&
		 be32_get(*(be32 *)(void *)block) != JBD_MAGIC);
	spoil(bed, block, bs);
}

START_TEST(damaged_logs_are_treated_as_the_kernel_does)
{
	const struct shape *shape = &shapes[_i % N_SHAPES];
	struct hostfs_info info;
	struct bed bed;
	g_autofree uint8_t *bytes = NULL, *log = NULL;
	struct hostfs *fs;

	if (!shape->sums)
		return;
	bed_init(&bed, shape, 7000 + (guint)_i, true);
	fs = open_ours(&bed, NULL);
	ck_assert_ptr_nonnull(fs);
	hostfs_info(fs, &info);
	hostfs_info_clear(&info);
	hostfs_close(fs);
	hostimg_store(bed.img, bed.bytes, bed.size);
	bytes = g_memdup2(bed.bytes, bed.size);
	log = g_memdup2(bed.log, bed.log_size);
	for (int i = 0; i < 5; i++) {
		g_autoptr(GError) error = NULL;
		int root;

		memcpy(bed.bytes, bytes, bed.size);
		if (log)
			memcpy(bed.log, log, bed.log_size);
		damage(&bed, (uint32_t)info.replay.log_blocks);
		fs = open_ours(&bed, &error);
		root = mount_copy(&bed);
		ck_assert_msg((fs != NULL) == (root >= 0),
			      "round %d: the kernel says %s, we %s", i,
			      root < 0 ? g_strerror(-root) : "yes",
			      error ? error->message : "yes");
		if (!fs) {
			ck_assert_ptr_nonnull(
				strstr(error->message, "-o norecovery shows"));
			continue;
		}
		judge_all(fs, root, true);
		kernel_umount(root);
		hostfs_close(fs);
	}
	bed_clear(&bed);
}
END_TEST

/* ---- fast commits ---- */

START_TEST(fast_commits_of_the_kernel_are_refused)
{
	static const struct shape fast = {
		.mkfs = "-t ext4 -b 1024 -J size=2 -O fast_commit",
		.mount = "",
	};
	struct bed bed = { .shape = &fast };
	g_autoptr(GError) error = NULL;
	struct kernel_loop loop;
	int root, fd;

	make_images(&bed, NULL);
	kernel_loop(&loop, hostimg_path(bed.img));
	root = kernel_mount(&loop, 0, "commit=300");
	kernel_loop_close(&loop);
	fd = openat(root, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_eq(write(fd, "full", 4), 4);
	ck_assert_int_eq(syncfs(root), 0);
	ck_assert_int_eq(write(fd, "fast", 4), 4);
	ck_assert_int_eq(fsync(fd), 0);
	close(fd);
	kernel_pull_the_plug(root);
	kernel_umount(root);
	capture(&bed);
	ck_assert_ptr_null(open_ours(&bed, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_UNSUPPORTED);
	ck_assert_msg(strstr(error->message, "fast commits") != NULL, "%s",
		      error->message);
	bed.rand = g_rand_new();
	bed_clear(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/replayed_kernel");
	TCase *tc = tcase_create("replayed_kernel");
	SRunner *runner;
	int failed;

	if (!kernel_usable()) {
		puts("SKIP: not root, or no loop device to be had");
		return SKIPPED;
	}
	tcase_add_loop_test(tc, files_are_as_the_kernel_shows_them, 0,
			    rounds(2) * N_SHAPES);
	tcase_add_loop_test(tc, damaged_logs_are_treated_as_the_kernel_does, 0,
			    rounds(1) * N_SHAPES);
	tcase_add_test(tc, fast_commits_of_the_kernel_are_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
