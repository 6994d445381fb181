/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts with one structure damaged: opening, looking, reading, writing and
 * recovering end with an error or without one, soon, and write nothing where
 * nothing may be written.
 *
 *   damage                     what a reader gets
 *   of what reading a file by  the file
 *   its number doesn't need
 *   any, with checksums, not   the file, or an error
 *   made right again
 *   a device cut short         an error
 *   else                       whatever the damage means
 *
 * A sample of all places, drawn by RAWMAP_SEED; many more with RAWMAP_FULL.
 * tests/fuzz looks for what nobody thought of.
 */
#include "../fuzz/fuzz_use.h"

#include <rawmap/base/log.h>
#include <rawmap/hostfs/recover.h>

#include <support/badhost.h>

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Of each structure and kind of damage. */
#define SAMPLE	    2
#define SAMPLE_FULL 100

/* No sound look at such a host needs a tenth. */
#define MEMORY_MAX (UINT64_C(1) << 30)

enum damage {
	FLIP,	/* one bit */
	BYTES,	/* a few bytes are anything */
	ZEROS,	/* a part is zeros */
	ONES,	/* a part is ones */
	ERASED, /* all of it is zeros */
	OTHER,	/* what belongs elsewhere */
	MOVED,	/* a word is another one of the same structure */
	DAMAGES
};

static const char *const damage_names[] = {
	"a bit", "bytes", "zeros", "ones", "erased", "another's", "moved",
};

static const char *const what_names[] = {
	"superblock",
	"descriptor",
	"bitmap",
	"inode",
	"directory block",
	"tree block",
	"journal superblock",
	"log block",
};

struct bed {
	struct badhost *bh;
	struct blkdev *dev;
	GRand *rand;
	uint8_t *buf;
};

/* Made once: mke2fs and debugfs take longer than all that is done with them. */
static struct badhost *hosts[16];

/* What was being done, should it be the last thing. */
static char now[160];

static void tell(int sig)
{
	if (write(STDERR_FILENO, now, strlen(now)) < 0)
		_exit(EXIT_FAILURE);
	raise(sig); /* the handler is gone: SA_RESETHAND */
}

static uint32_t seed_of_run(void)
{
	const char *env = g_getenv("RAWMAP_SEED");

	return env ? (uint32_t)g_ascii_strtoull(env, NULL, 0) : g_random_int();
}

static void bed_init(struct bed *bed, unsigned kind)
{
	uint32_t seed = seed_of_run();

	log_set_level(LOG_LEVEL_ERROR);
	bed->bh = hosts[kind];
	bed->dev = patchdev_new(bed->bh->bytes);
	bed->rand = g_rand_new_with_seed(seed);
	bed->buf = g_malloc(bed->bh->disk_len);
	fprintf(stderr, "# %s: RAWMAP_SEED=%u\n", bed->bh->kind->name, seed);
}

static void bed_clear(struct bed *bed)
{
	blkdev_unref(bed->dev);
	g_rand_free(bed->rand);
	g_free(bed->buf);
}

static uint32_t below(struct bed *bed, uint32_t n)
{
	return (uint32_t)g_rand_int_range(bed->rand, 0, (gint32)n);
}

/* ---- damage ---- */

static void fill(struct bed *bed, uint64_t pos, uint32_t len, int byte)
{
	g_autofree uint8_t *bytes = g_malloc(len);

	memset(bytes, byte, len);
	patchdev_poke(bed->dev, bytes, len, pos);
}

static void flip(struct bed *bed, const struct badhost_area *a)
{
	uint64_t pos = a->pos + below(bed, a->len);
	uint8_t byte;

	patchdev_peek(bed->dev, &byte, 1, pos);
	byte ^= (uint8_t)(1u << below(bed, 8));
	patchdev_poke(bed->dev, &byte, 1, pos);
}

static void put_bytes(struct bed *bed, const struct badhost_area *a)
{
	for (uint32_t n = 1 + below(bed, 8); n; n--) {
		uint8_t byte = (uint8_t)below(bed, 256);

		patchdev_poke(bed->dev, &byte, 1, a->pos + below(bed, a->len));
	}
}

static void put_other(struct bed *bed, const struct badhost_area *a)
{
	const struct badhost_area *from =
		&g_array_index(bed->bh->areas, struct badhost_area,
			       below(bed, bed->bh->areas->len));
	uint32_t len = MIN(a->len, from->len);
	g_autofree uint8_t *bytes = g_malloc(len);

	patchdev_peek(bed->dev, bytes, len, from->pos);
	patchdev_poke(bed->dev, bytes, len, a->pos);
}

static void move_word(struct bed *bed, const struct badhost_area *a)
{
	uint32_t words = a->len / 4, word;

	patchdev_peek(bed->dev, &word, 4, a->pos + below(bed, words) * 4);
	patchdev_poke(bed->dev, &word, 4, a->pos + below(bed, words) * 4);
}

static void damage(struct bed *bed, const struct badhost_area *a, int how)
{
	uint32_t at = below(bed, a->len), len = 1 + below(bed, a->len - at);

	switch (how) {
	case FLIP:
		flip(bed, a);
		return;
	case BYTES:
		put_bytes(bed, a);
		return;
	case ZEROS:
		fill(bed, a->pos + at, len, 0);
		return;
	case ONES:
		fill(bed, a->pos + at, len, 0xff);
		return;
	case ERASED:
		fill(bed, a->pos, a->len, 0);
		return;
	case OTHER:
		put_other(bed, a);
		return;
	default:
		move_word(bed, a);
		return;
	}
}

/* ---- what is done with it ---- */

enum expect { RIGHT, RIGHT_OR_ERROR, ANYTHING };

static struct hostfs *open_host(struct bed *bed, bool readonly)
{
	const struct hostfs_options opt = {
		.readonly = readonly,
		.use_reserved = true,
	};
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(bed->dev, &opt, &error);

	ck_assert_msg(!fs == !!error, "%s", now);
	return fs;
}

static void read_whole(struct bed *bed, struct hostfile *hf, enum expect expect)
{
	size_t len = bed->bh->disk_len;
	struct image *img = image_new(hf, true);
	ssize_t n = image_pread(img, bed->buf, len, img_off_at(0));

	if (expect == RIGHT)
		ck_assert_msg(n == (ssize_t)len, "%s: %zd", now, n);
	if (expect != ANYTHING) {
		ck_assert_msg(image_size(img) == len, "%s: the size", now);
		ck_assert_msg(n <= 0 || !memcmp(bed->buf, bed->bh->disk,
						(size_t)n),
			      "%s: other bytes", now);
	}
	image_free(img);
}

static void read_path(struct bed *bed, struct hostfs *fs, const char *path,
		      enum expect expect)
{
	g_autoptr(GError) error = NULL;
	struct hostfile *hf = hostfile_open(fs, path, 4096, &error);

	ck_assert_msg(!hf == !!error, "%s", now);
	ck_assert_msg(hf || expect != RIGHT, "%s: %s: %s", now, path,
		      error ? error->message : "");
	if (hf)
		read_whole(bed, hf, expect);
}

/* By its number the file needs less than by a path. */
static void use_readonly(struct bed *bed, enum expect by_number,
			 enum expect by_path)
{
	uint8_t bytes[64];
	struct input in = { bytes, sizeof(bytes) };
	struct hostfs *fs;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)below(bed, 256);
	patchdev_set_readonly(bed->dev, true);
	patchdev_allow(bed->dev, REQUESTS_MAX);
	fs = open_host(bed, true);
	ck_assert_msg(fs || by_number != RIGHT, "%s: refused", now);
	if (fs) {
		read_path(bed, fs, "<12>", by_number);
		read_path(bed, fs, "/vm/link", by_path);
		read_path(bed, fs, "/vm/long", by_path);
		look(fs, "/disk.img", &in);
		ck_assert_int_eq(hostfs_close(fs), 0);
	}
	patchdev_set_readonly(bed->dev, false);
}

static void use_writable(struct bed *bed)
{
	uint8_t bytes[160];
	struct input in = { bytes, sizeof(bytes) };

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)below(bed, 256);
	patchdev_allow(bed->dev, REQUESTS_MAX);
	change_it(bed->dev, "<12>", &in, NULL, NULL);
}

static bool use_recover(struct bed *bed, bool dry_run)
{
	const struct recover_options opt = { .dry_run = dry_run };
	g_autoptr(GError) error = NULL;
	struct recover_report report;
	bool ok;

	patchdev_set_readonly(bed->dev, dry_run);
	patchdev_allow(bed->dev, REQUESTS_MAX);
	ok = hostfs_recover(bed->dev, &opt, &report, &error);
	ck_assert_msg(ok == !error, "%s", now);
	patchdev_set_readonly(bed->dev, false);
	return ok;
}

/* ---- what must come of it ---- */

static bool is_needed_by_number(const struct badhost_area *a)
{
	switch (a->what) {
	case BADHOST_BITMAP:
	case BADHOST_DIR:
	case BADHOST_JSUPER:
	case BADHOST_LOG:
		return false;
	case BADHOST_INODE:
		return a->number == BADHOST_DISK;
	default:
		return true;
	}
}

static void use_damaged(struct bed *bed, const struct badhost_area *a,
			bool sealed)
{
	const struct badhost_kind *kind = bed->bh->kind;
	enum expect by_path = kind->csum && !sealed ? RIGHT_OR_ERROR : ANYTHING;
	enum expect by_number = is_needed_by_number(a) ? by_path : RIGHT;

	use_recover(bed, true);
	ck_assert_msg(!patchdev_written(bed->dev), "%s: written", now);
	if (kind->dirty) {
		/* Without checksums in the log, it brings what it has. */
		if (!use_recover(bed, false))
			return;
		by_number = by_path;
	}
	use_readonly(bed, by_number, by_path);
	use_writable(bed);
}

static unsigned sample(void)
{
	return g_getenv("RAWMAP_FULL") ? SAMPLE_FULL : SAMPLE;
}

/* Most damage to a tree is seen by its form; checksums are for the rest. */
static unsigned sample_of(const struct badhost_area *a)
{
	return DAMAGES * sample() * (a->what == BADHOST_TREE ? 8 : 1);
}

static bool may_seal(const struct bed *bed, const struct badhost_area *a)
{
	return bed->bh->kind->csum &&
	       (a->what == BADHOST_SUPER || a->what == BADHOST_DESC ||
		a->what == BADHOST_INODE);
}

START_TEST(damage_is_an_error_or_does_no_harm)
{
	struct bed bed;

	bed_init(&bed, (unsigned)_i);
	for (guint i = 0; i < bed.bh->areas->len; i++) {
		const struct badhost_area *a =
			&g_array_index(bed.bh->areas, struct badhost_area, i);

		for (unsigned n = 0; n < sample_of(a); n++) {
			bool seal = may_seal(&bed, a) && below(&bed, 2);
			unsigned how = n % DAMAGES;

			g_snprintf(now, sizeof(now), "%s: %s %u, %s%s, %u\n",
				   bed.bh->kind->name, what_names[a->what],
				   a->number, damage_names[how],
				   seal ? ", sums right again" : "", n);
			patchdev_reset(bed.dev);
			damage(&bed, a, (int)how);
			if (seal)
				badhost_seal(bed.bh, bed.dev);
			use_damaged(&bed, a, seal);
		}
	}
	bed_clear(&bed);
}
END_TEST

START_TEST(a_host_cut_short_is_refused)
{
	struct bed bed;
	uint64_t size;

	bed_init(&bed, (unsigned)_i);
	size = g_bytes_get_size(bed.bh->bytes);
	for (unsigned n = 0; n < 16 * sample(); n++) {
		uint64_t cut = n ? below(&bed, (uint32_t)size) : size - 1;

		g_snprintf(now, sizeof(now), "%s: %lu bytes\n",
			   bed.bh->kind->name, (unsigned long)cut);
		patchdev_reset(bed.dev);
		patchdev_cut(bed.dev, cut);
		patchdev_allow(bed.dev, REQUESTS_MAX);
		ck_assert_msg(!open_host(&bed, true), "%s: opened", now);
		ck_assert_msg(!open_host(&bed, false), "%s: opened", now);
		ck_assert_msg(!use_recover(&bed, false), "%s: recovered", now);
		ck_assert_msg(!patchdev_written(bed.dev), "%s: written", now);
	}
	bed_clear(&bed);
}
END_TEST

/* Else the tests above would not test what they say. */
START_TEST(the_hosts_are_sound_and_the_checksums_theirs)
{
	struct bed bed;
	size_t size;
	const void *bytes;
	g_autofree uint8_t *now_there = NULL;

	bed_init(&bed, (unsigned)_i);
	g_snprintf(now, sizeof(now), "%s: sound\n", bed.bh->kind->name);
	badhost_seal(bed.bh, bed.dev);
	bytes = g_bytes_get_data(bed.bh->bytes, &size);
	now_there = g_malloc(size);
	patchdev_peek(bed.dev, now_there, size, 0);
	ck_assert_mem_eq(now_there, bytes, size);
	if (bed.bh->kind->dirty)
		ck_assert(use_recover(&bed, false));
	use_readonly(&bed, RIGHT, RIGHT);
	bed_clear(&bed);
}
END_TEST

/* The sanitizers' own memory is no sign of anything. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#else
#define SANITIZED
#endif

static void limit_memory(void)
{
#ifndef SANITIZED
	const struct rlimit limit = { MEMORY_MAX, MEMORY_MAX };

	if (setrlimit(RLIMIT_AS, &limit))
		g_error("setrlimit failed");
#endif
}

int main(void)
{
	const struct sigaction action = {
		.sa_handler = tell,
		.sa_flags = (int)SA_RESETHAND,
	};
	Suite *s = suite_create("corrupt");
	TCase *tc = tcase_create("corrupt");
	SRunner *sr;
	int failed;

	g_assert(badhost_n <= G_N_ELEMENTS(hosts));
	for (unsigned i = 0; i < badhost_n; i++)
		hosts[i] = badhost_new(i);
	limit_memory();
	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGTRAP, &action, NULL); /* of g_error() */
	be_strict();
	tcase_add_loop_test(tc, the_hosts_are_sound_and_the_checksums_theirs, 0,
			    (int)badhost_n);
	tcase_add_loop_test(tc, a_host_cut_short_is_refused, 0, (int)badhost_n);
	tcase_add_loop_test(tc, damage_is_an_error_or_does_no_harm, 0,
			    (int)badhost_n);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	for (unsigned i = 0; i < badhost_n; i++)
		badhost_free(hosts[i]);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
