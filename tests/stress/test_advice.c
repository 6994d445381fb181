/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/*
 * A map of several leaves that somebody reads ahead, keeps and forgets while
 * somebody else changes it: no change fails for it, the writer always reads what
 * he wrote, and what the cache knows at the end is what the disk says.
 */
#include <support/imagehost.h>

#include <rawmap/map/extmap.h>

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BS     1024
#define PIECES 600 /* every other block: eight leaves, or four */
#define BLOCKS (2 * PIECES)
#define SIZE   (BLOCKS * BS)
#define LONG   (24 * BS)

static const struct variant {
	const char *mkfs;
	uint64_t budget;
} variants[] = {
	{ "-t ext4 -b 1024", 1 << 20 },
	{ "-t ext4 -b 1024", 0 },
	{ "-t ext4 -b 1024 -O ^has_journal", 4096 },
	{ "-t ext3 -b 1024", 1024 },
	{ "-t ext2 -b 1024", 0 },
};

static struct imagehost host;
static uint8_t model[SIZE];
static unsigned long steps;
static int running; /* atomic */

static void must_be(ssize_t got, ssize_t wanted, const char *what)
{
	if (got != wanted)
		g_error("%s: %zd instead of %zd", what, got, wanted);
}

static void *dropper_main(void *arg)
{
	struct extmap *map = arg;

	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST))
		extmap_drop_all(map);
	return NULL;
}

static void *adviser_main(void *arg)
{
	struct hostfile *hf = image_file(host.img);
	struct extmap *map = hostfile_map(hf);
	GRand *rand = g_rand_new_with_seed(GPOINTER_TO_UINT(arg));

	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		lblk start = lblk_at(g_rand_int(rand) % BLOCKS);
		uint64_t len = 1 + g_rand_int(rand) % BLOCKS;

		switch (g_rand_int(rand) % 4) {
		case 0:
			must_be(hostfile_populate(hf, start, len), 0,
				"populate");
			break;
		case 1:
			extmap_pin(map, start, len);
			break;
		case 2:
			extmap_unpin(map, start, len);
			break;
		default:
			extmap_drop(map, start, len);
		}
	}
	extmap_unpin(map, lblk_at(0), LBLK_END);
	g_rand_free(rand);
	return NULL;
}

static void check_range(uint64_t pos, uint64_t len)
{
	uint8_t buf[LONG];

	must_be(image_pread(host.img, buf, len, img_off_at(pos)), (ssize_t)len,
		"read");
	for (uint64_t i = 0; i < len; i++)
		if (buf[i] != model[pos + i])
			g_error("byte %llu is %#x, not %#x",
				(unsigned long long)(pos + i), buf[i],
				model[pos + i]);
}

static void change(GRand *rand, uint64_t pos, uint64_t len, unsigned long step)
{
	switch (g_rand_int(rand) % 4) {
	case 0:
		must_be(image_punch(host.img, img_off_at(pos), len), 0,
			"punch");
		memset(model + pos, 0, len);
		break;
	case 1:
		must_be(image_zero(host.img, img_off_at(pos), len, true), 0,
			"zero");
		memset(model + pos, 0, len);
		break;
	case 2:
		must_be(image_allocate(host.img, img_off_at(pos), len, true), 0,
			"allocate");
		break;
	default:
		memset(model + pos, (int)(step % 255 + 1), len);
		must_be(image_pwrite(host.img, model + pos, len,
				     img_off_at(pos)),
			(ssize_t)len, "write");
	}
}

/* Whole blocks, so that each is one change of the map. */
static void work(uint32_t seed)
{
	GRand *rand = g_rand_new_with_seed(seed);

	for (unsigned long step = 0; step < steps; step++) {
		uint64_t len = BS * (1 + g_rand_int(rand) % (LONG / BS));
		uint64_t pos = g_rand_int(rand) % (SIZE - len) / BS * BS;

		change(rand, pos, len, step);
		check_range(pos, len);
		if (step % 64 == 0)
			must_be(image_flush(host.img), 0, "flush");
	}
	g_rand_free(rand);
}

static void make_model(struct hostimg_piece *pieces)
{
	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < PIECES; i++) {
		pieces[i] = (struct hostimg_piece){ UINT64_C(2) * i * BS, BS };
		for (uint64_t k = 0; k < BS; k++)
			model[pieces[i].start + k] = hostimg_pattern(
				IMAGEHOST_SEED, pieces[i].start + k);
	}
}

START_TEST(changes_go_on_whatever_is_advised)
{
	const struct variant *v = &variants[_i];
	struct hostimg_piece pieces[PIECES];
	const struct imagehost_spec spec = {
		v->mkfs, 0, SIZE, pieces, PIECES, v->budget,
	};
	const char *env = g_getenv("RAWMAP_SEED");
	uint32_t seed = env ? (uint32_t)g_ascii_strtoull(env, NULL, 0)
			    : g_random_int();
	pthread_t dropper, adviser;

	fprintf(stderr, "# %s, cache %llu: RAWMAP_SEED=%u\n", v->mkfs,
		(unsigned long long)v->budget, seed);
	steps = g_getenv("RAWMAP_FULL") ? 20000 : 400;
	make_model(pieces);
	imagehost_init(&host, &spec);
	imagehost_open(&host);
	__atomic_store_n(&running, 1, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(pthread_create(&dropper, NULL, dropper_main,
					hostfile_map(image_file(host.img))),
			 0);
	ck_assert_int_eq(pthread_create(&adviser, NULL, adviser_main,
					GUINT_TO_POINTER(seed)),
			 0);
	work(seed);
	__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
	pthread_join(dropper, NULL);
	pthread_join(adviser, NULL);
	imagehost_check_map(&host);
	ck_assert_int_eq(imagehost_close(&host), 0);
	imagehost_check(&host, model, SIZE);
	imagehost_clear(&host);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("advice");
	TCase *tc = tcase_create("advice");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, changes_go_on_whatever_is_advised, 0,
			    G_N_ELEMENTS(variants));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
