/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random operations on an exposed file by several threads, against a model: the
 * bytes that the file must hold, kept in memory.
 *
 *   tool_model FILE STEPS MODEL
 *
 * The file is all zeros, and SIZE bytes long, at first. Each thread owns stripes
 * of it, of no round length, so that neighbours meet in a block and in a sector;
 * in its own stripes it compares what it reads with the model at once. One
 * thread goes through the page cache, one through a mapping of the file besides,
 * the others past it; the last one has what lies behind the stripes, and is the
 * only one to set the size. Now and then all stand still and the whole is
 * compared. At the end MODEL gets the bytes. RAWMAP_SEED repeats what each does.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rawmap/base/bytes.h>

#define SIZE	(UINT64_C(3) << 20) /* never less */
#define STRIPED (UINT64_C(2) << 20)
#define LIMIT	(UINT64_C(4) << 20)
#define PAGE	UINT64_C(4096) /* of the two that use the page cache */
#define THREADS 4
#define STRIPE	UINT64_C(23456)
#define MAX_LEN (UINT64_C(96) << 10)
#define BURST	8 /* writes at once */
#define ROUNDS	8

/* What a thread has of a file: past the page cache, or through it. */
enum way { CACHED, MAPPED, DIRECT };

struct worker {
	unsigned n;
	enum way way;
	int fd;
	uint8_t *map; /* MAPPED: of the first SIZE bytes */
	GRand *rand;
	uint8_t *buf;	   /* MAX_LEN */
	aio_context_t ctx; /* DIRECT: for bursts */
	unsigned long steps, step;
	pthread_t thread;
};

/* Each byte is its owner's; size is the last worker's. */
static struct {
	uint8_t *bytes; /* LIMIT; zeros behind size */
	uint64_t size;
	pthread_barrier_t still;
} model = { .size = SIZE };

static uint64_t below(struct worker *w, uint64_t n)
{
	return n ? g_rand_int(w->rand) % n : 0;
}

static void G_GNUC_PRINTF(2, 3)
	give_up(const struct worker *w, const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	fprintf(stderr, "thread %u, step %lu: ", w->n, w->step);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (%s)\n", g_strerror(err));
	_exit(EXIT_FAILURE);
}

static bool is_last(const struct worker *w)
{
	return w->n == THREADS - 1;
}

/* ---- where ---- */

/*
 * What a worker has of its stripe number @k. Who goes through the page cache has
 * whole pages: the kernel itself would put the others' bytes into the rest.
 */
static void stripe_of(const struct worker *w, uint64_t k, uint64_t *start,
		      uint64_t *end)
{
	*start = k * STRIPE;
	*end = *start + STRIPE;
	if (w->way != DIRECT) {
		*start = (*start + PAGE - 1) / PAGE * PAGE;
		*end = *end / PAGE * PAGE;
	}
}

/* One of them, or what the last one has behind all. */
static void some_stripe(struct worker *w, uint64_t *start, uint64_t *end)
{
	uint64_t k = below(w, STRIPED / STRIPE / THREADS) * THREADS + w->n;

	stripe_of(w, k, start, end);
	if (is_last(w) && !below(w, 3)) {
		*start = STRIPED;
		*end = LIMIT;
	}
}

/* A range in it, half of them ending at sector or block bounds. */
static void some_range(struct worker *w, uint64_t *pos, uint64_t *len)
{
	static const uint64_t grains[] = { 1, 1, 512, 1024, 4096, 4096 };
	uint64_t grain = grains[below(w, G_N_ELEMENTS(grains))];
	uint64_t most = below(w, 4) ? 9000 : MAX_LEN;
	uint64_t start, end;

	some_stripe(w, &start, &end);
	*pos = start + below(w, end - start);
	*pos = u64_max(*pos / grain * grain, start);
	*len = u64_max(grain, below(w, most) / grain * grain);
	*len = u64_min(*len, end - *pos);
}

/* ---- what ---- */

static void compare(struct worker *w, const uint8_t *bytes, uint64_t pos,
		    uint64_t len)
{
	uint64_t i = 0;

	if (!memcmp(bytes, model.bytes + pos, len))
		return;
	while (bytes[i] == model.bytes[pos + i])
		i++;
	give_up(w, "byte %llu is %#x, not %#x", (unsigned long long)(pos + i),
		bytes[i], model.bytes[pos + i]);
}

/* What is the worker's own; the size cannot change meanwhile. */
static void check_range(struct worker *w, uint64_t pos, uint64_t len)
{
	uint64_t size = is_last(w) ? model.size : SIZE;
	uint64_t want = pos < size ? u64_min(len, size - pos) : 0;
	ssize_t got;

	if (w->way == MAPPED && pos + len <= SIZE && below(w, 2)) {
		compare(w, w->map + pos, pos, len);
		return;
	}
	got = pread(w->fd, w->buf, len, (off_t)pos);
	if (got != (ssize_t)want)
		give_up(w, "%zd bytes read at %llu, not %llu", got,
			(unsigned long long)pos, (unsigned long long)want);
	compare(w, w->buf, pos, want);
}

static void sync_map(struct worker *w)
{
	if (w->way == MAPPED && msync(w->map, SIZE, MS_SYNC))
		give_up(w, "msync");
}

static void do_write(struct worker *w)
{
	uint64_t pos, len;

	some_range(w, &pos, &len);
	for (uint64_t i = 0; i < len; i++)
		w->buf[i] = (uint8_t)(1 + (w->step * 31 + w->n * 7 + i) % 250);
	if (w->way == MAPPED && below(w, 2)) {
		memcpy(w->map + pos, w->buf, len);
		if (below(w, 2))
			sync_map(w);
	} else if (pwrite(w->fd, w->buf, len, (off_t)pos) != (ssize_t)len) {
		give_up(w, "write of %llu at %llu", (unsigned long long)len,
			(unsigned long long)pos);
	}
	memcpy(model.bytes + pos, w->buf, len);
	if (is_last(w))
		model.size = u64_max(model.size, pos + len);
}

/*
 * A range in pieces that are written at once. Where two of them meet there is
 * hardly ever the end of a sector. One after the other the kernel would give
 * them to the server.
 */
static void do_burst(struct worker *w)
{
	struct iocb cbs[BURST] = { 0 }, *list[BURST];
	struct io_event events[BURST];
	uint64_t pos, len, at = 0;
	long n = 0;

	some_range(w, &pos, &len);
	for (uint64_t i = 0; i < len; i++)
		w->buf[i] = (uint8_t)(1 + (w->step * 37 + i) % 250);
	for (; n < BURST && at < len; n++) {
		uint64_t part = 1 + below(w, len - at);

		if (n == BURST - 1)
			part = len - at;
		cbs[n].aio_lio_opcode = IOCB_CMD_PWRITE;
		cbs[n].aio_fildes = (uint32_t)w->fd;
		cbs[n].aio_buf = (uint64_t)(uintptr_t)(w->buf + at);
		cbs[n].aio_nbytes = part;
		cbs[n].aio_offset = (int64_t)(pos + at);
		list[n] = &cbs[n];
		at += part;
	}
	if (syscall(SYS_io_submit, w->ctx, n, list) != n ||
	    syscall(SYS_io_getevents, w->ctx, n, n, events, NULL) != n)
		give_up(w, "%ld writes at once", n);
	for (long i = 0; i < n; i++) {
		const struct iocb *cb = (struct iocb *)(uintptr_t)events[i].obj;

		if (events[i].res != (int64_t)cb->aio_nbytes)
			give_up(w, "one of %ld writes: %lld", n,
				(long long)events[i].res);
	}
	memcpy(model.bytes + pos, w->buf, len);
	if (is_last(w))
		model.size = u64_max(model.size, pos + len);
}

static void do_punch(struct worker *w)
{
	uint64_t pos, len;

	some_range(w, &pos, &len);
	if (fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)pos, (off_t)len))
		give_up(w, "punch");
	memset(model.bytes + pos, 0, len);
}

/*
 * Zeros, or just blocks, not beyond the size. Without a way to say that a block
 * is unwritten blocks alone are not to be had.
 */
static void do_provide(struct worker *w, int mode)
{
	uint64_t size = is_last(w) ? model.size : SIZE, pos, len;
	int keep = below(w, 2) ? FALLOC_FL_KEEP_SIZE : 0;

	some_range(w, &pos, &len);
	if (pos >= size)
		return;
	len = u64_min(len, size - pos);
	if (fallocate(w->fd, mode | keep, (off_t)pos, (off_t)len)) {
		if (errno != EOPNOTSUPP)
			give_up(w, "fallocate %#x", mode | keep);
		return;
	}
	if (mode)
		memset(model.bytes + pos, 0, len);
}

static void do_truncate(struct worker *w)
{
	uint64_t size = SIZE + below(w, LIMIT - SIZE);

	if (ftruncate(w->fd, (off_t)size))
		give_up(w, "truncate");
	if (size < model.size)
		memset(model.bytes + size, 0, model.size - size);
	model.size = size;
}

/* Data where the answer skips is a lie; the rest is taste. */
static void do_seek(struct worker *w)
{
	uint64_t start, end, pos;
	off_t data;

	some_stripe(w, &start, &end);
	end = u64_min(end, SIZE);
	pos = start + below(w, end - start);
	/* The kernel asks the server, whatever the mapping has. */
	sync_map(w);
	data = lseek(w->fd, (off_t)pos, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		give_up(w, "seek");
	if (data >= 0 && (uint64_t)data < pos)
		give_up(w, "data at %lld", (long long)data);
	if (data >= 0)
		end = u64_min(end, (uint64_t)data);
	if (!bytes_are_zero(model.bytes + pos, end - pos))
		give_up(w, "data behind %llu, not at %lld",
			(unsigned long long)pos, (long long)data);
	if (lseek(w->fd, (off_t)pos, SEEK_HOLE) < (off_t)pos)
		give_up(w, "no hole at the end");
}

static void one_step(struct worker *w)
{
	uint64_t what = below(w, 100), pos, len;

	if (what < 20 && w->way == DIRECT) {
		do_burst(w);
	} else if (what < 38) {
		do_write(w);
	} else if (what < 66) {
		some_range(w, &pos, &len);
		check_range(w, pos, len);
	} else if (what < 77) {
		do_punch(w);
	} else if (what < 84) {
		do_provide(w, FALLOC_FL_ZERO_RANGE);
	} else if (what < 88) {
		do_provide(w, 0);
	} else if (what < 94) {
		do_seek(w);
	} else if (what < 97 || !is_last(w)) {
		if (fsync(w->fd))
			give_up(w, "fsync");
	} else {
		do_truncate(w);
	}
}

/* ---- all of it, while nobody works ---- */

static void check_all(struct worker *w)
{
	struct stat st;
	ssize_t got;

	if (fstat(w->fd, &st) || (uint64_t)st.st_size != model.size)
		give_up(w, "size %llu, not %llu",
			(unsigned long long)st.st_size,
			(unsigned long long)model.size);
	for (uint64_t pos = 0; pos < model.size; pos += (uint64_t)got) {
		got = pread(w->fd, w->buf, MAX_LEN, (off_t)pos);
		if (got <= 0)
			give_up(w, "read at %llu", (unsigned long long)pos);
		compare(w, w->buf, pos, (uint64_t)got);
	}
}

static void check_own(struct worker *w)
{
	for (uint64_t k = w->n; k < STRIPED / STRIPE; k += THREADS) {
		uint64_t start, end;

		stripe_of(w, k, &start, &end);
		check_range(w, start, end - start);
	}
}

static void stand_still(struct worker *w)
{
	/* What is in the mapping only is nobody else's business yet. */
	sync_map(w);
	pthread_barrier_wait(&model.still);
	/*
	 * The page cache may have a neighbour's page from before a write past
	 * it that was under way when the kernel read ahead.
	 */
	if (w->way == DIRECT)
		check_all(w);
	else
		check_own(w);
	pthread_barrier_wait(&model.still);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned long i = 0; i < w->steps / ROUNDS; i++, w->step++)
			one_step(w);
		stand_still(w);
	}
	return NULL;
}

static void worker_start(struct worker *w, const char *path)
{
	w->way = w->n == CACHED ? CACHED : w->n == MAPPED ? MAPPED : DIRECT;
	w->fd = open(path,
		     O_RDWR | O_CLOEXEC | (w->way == DIRECT ? O_DIRECT : 0));
	if (w->fd < 0)
		give_up(w, "'%s'", path);
	if (syscall(SYS_io_setup, BURST, &w->ctx))
		give_up(w, "io_setup");
	w->buf = g_aligned_alloc(1, MAX_LEN, 4096);
	if (w->way == MAPPED) {
		w->map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			      w->fd, 0);
		if (w->map == MAP_FAILED)
			give_up(w, "mmap");
	}
}

static void worker_end(struct worker *w)
{
	if (w->map)
		munmap(w->map, SIZE);
	syscall(SYS_io_destroy, w->ctx);
	close(w->fd);
	g_aligned_free(w->buf);
	g_rand_free(w->rand);
}

int main(int argc, char **argv)
{
	const char *env = g_getenv("RAWMAP_SEED");
	uint32_t seed = env ? (uint32_t)g_ascii_strtoull(env, NULL, 0)
			    : g_random_int();
	struct worker workers[THREADS] = { 0 };
	GError *error = NULL;

	if (argc != 4) {
		fprintf(stderr, "usage: %s FILE STEPS MODEL\n", argv[0]);
		return 2;
	}
	fprintf(stderr, "# RAWMAP_SEED=%u\n", seed);
	model.bytes = g_malloc0(LIMIT);
	pthread_barrier_init(&model.still, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].n = i;
		workers[i].steps = g_ascii_strtoull(argv[2], NULL, 0);
		workers[i].rand = g_rand_new_with_seed(seed + 31 * i);
		worker_start(&workers[i], argv[1]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&workers[i].thread, NULL, worker_main,
				   &workers[i]))
			give_up(&workers[i], "no thread");
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		worker_end(&workers[i]);
	if (!g_file_set_contents(argv[3], (char *)model.bytes,
				 (gssize)model.size, &error)) {
		fprintf(stderr, "%s\n", error->message);
		return EXIT_FAILURE;
	}
	pthread_barrier_destroy(&model.still);
	g_free(model.bytes);
	return EXIT_SUCCESS;
}
