/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The crash laboratory under a mount:
 *
 *   clients of the mount | rawmap | recfs, which records | the judges
 *
 * The clients and the recorder are this program; the script mounts in between.
 * They say to each other on standard output and input:
 *
 *   tool_crash FILE IMAGE MKFS BLOCKSIZE [faults]
 *   > ready        FILE is a disk, to be mounted
 *   < mounted      IMAGE is there
 *   > done         and nobody uses it any more
 *   < unmounted    and rawmap has ended
 *
 * What the threads do is random, and so is how it meets: RAWMAP_SEED repeats the
 * first, not the second. RAWMAP_STATES, RAWMAP_FULL, RAWMAP_KEEP as in
 * crashlab.h. Exit status 1: a bad state, or a fault that no state showed.
 */
#include <support/crashlab.h>
#include <support/recfs.h>

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLIENTS	      3
#define DEPTH	      4	   /* writes that one client has in flight */
#define STRIPE	      64   /* blocks in a row that belong to one client */
#define DENSE	      1200 /* blocks of the image at first */
#define FAR	      65804
#define TAIL	      64 /* blocks behind these two places: the first client's */
#define OPS	      100 /* of one client */
#define OVERWRITES    60  /* after them */
#define MOST	      24  /* blocks of one write */
#define CONTROLS      40  /* states */
#define MOST_CONTROLS 1000

/* A write in flight. */
struct slot {
	struct iocb cb;
	uint8_t *buf;
	unsigned op; /* 0: free */
	uint64_t pos, len;
};

struct client {
	struct crashlab *lab;
	uint32_t bs;
	unsigned n;
	int fd;
	GRand *rand;
	aio_context_t ctx; /* the last client writes through the page cache,
			      one at a time */
	struct slot slots[DEPTH];
	pthread_t thread;
};

static uint64_t below(struct client *c, uint64_t n)
{
	return n ? g_rand_int(c->rand) % n : 0;
}

static bool is_buffered(const struct client *c)
{
	return c->n == CLIENTS - 1;
}

/* ---- writes in flight ---- */

static void reap(struct client *c, long least)
{
	struct io_event events[DEPTH];
	long n = syscall(SYS_io_getevents, c->ctx, least, DEPTH, events, NULL);

	if (n < 0)
		g_error("io_getevents: %s", g_strerror(errno));
	for (long i = 0; i < n; i++) {
		struct slot *s = &c->slots[events[i].data];

		if (events[i].res != (int64_t)s->len)
			g_error("a write of %llu at %llu: %lld",
				(unsigned long long)s->len,
				(unsigned long long)s->pos,
				(long long)events[i].res);
		crashlab_end(c->lab, s->op);
		s->op = 0;
	}
}

static unsigned in_flight(const struct client *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DEPTH; i++)
		n += c->slots[i].op != 0;
	return n;
}

static void wait_for_all(struct client *c)
{
	while (in_flight(c))
		reap(c, 1);
}

/* Until nothing in flight overlaps. */
static void wait_for_range(struct client *c, uint64_t pos, uint64_t len)
{
	for (unsigned i = 0; i < DEPTH; i++) {
		const struct slot *s = &c->slots[i];

		while (s->op && pos < s->pos + s->len && s->pos < pos + len)
			reap(c, 1);
	}
}

static struct slot *free_slot(struct client *c)
{
	for (;;) {
		for (unsigned i = 0; i < DEPTH; i++)
			if (!c->slots[i].op)
				return &c->slots[i];
		reap(c, 1);
	}
}

static void do_write(struct client *c, uint64_t pos, uint64_t len)
{
	struct slot *s = free_slot(c);
	struct iocb *list[] = { &s->cb };

	s->pos = pos;
	s->len = len;
	s->op = crashlab_begin(c->lab, CRASHLAB_WRITE, pos, len, s->buf);
	if (is_buffered(c)) {
		if (pwrite(c->fd, s->buf, len, (off_t)pos) != (ssize_t)len)
			g_error("pwrite: %s", g_strerror(errno));
		crashlab_end(c->lab, s->op);
		s->op = 0;
		return;
	}
	s->cb = (struct iocb){
		.aio_data = (uint64_t)(s - c->slots),
		.aio_lio_opcode = IOCB_CMD_PWRITE,
		.aio_fildes = (uint32_t)c->fd,
		.aio_buf = (uint64_t)(uintptr_t)s->buf,
		.aio_nbytes = len,
		.aio_offset = (int64_t)pos,
	};
	if (syscall(SYS_io_submit, c->ctx, 1, list) != 1)
		g_error("io_submit: %s", g_strerror(errno));
}

/* ---- what a client does ---- */

/* A range in a stripe of its own, whole blocks three times out of four. */
static void some_range(struct client *c, uint64_t max_blocks, uint64_t *pos,
		       uint64_t *len)
{
	uint64_t stripes = DENSE / STRIPE / CLIENTS, first;
	uint64_t what = c->n ? 0 : below(c, 10);
	uint64_t most = below(c, 4) ? 4 : max_blocks;

	if (what < 7)
		first = (below(c, stripes) * CLIENTS + c->n) * STRIPE;
	else
		first = what < 8 ? FAR : DENSE;
	*pos = below(c, STRIPE);
	*len = 1 + below(c, u64_min(STRIPE - *pos, most));
	*pos = (first + *pos) * c->bs;
	*len *= c->bs;
	if (below(c, 4))
		return;
	*pos += below(c, c->bs);
	*len = 1 + below(c, *len - *pos % c->bs);
}

/* Behind the end, and where no block can be unwritten, some are refused. */
static bool refused(struct client *c, int mode, uint64_t pos, uint64_t len)
{
	if (!fallocate(c->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)pos,
		       (off_t)len))
		return false;
	if (errno != EOPNOTSUPP)
		g_error("fallocate %d: %s", mode, g_strerror(errno));
	return true;
}

static void do_fallocate(struct client *c, int mode, enum crashlab_deed deed)
{
	uint64_t pos, len;
	unsigned n;

	some_range(c, STRIPE, &pos, &len);
	wait_for_range(c, pos, len);
	n = crashlab_begin(c->lab, deed, pos, len, NULL);
	if (refused(c, mode, pos, len) && deed == CRASHLAB_ZERO &&
	    refused(c, FALLOC_FL_PUNCH_HOLE, pos, len))
		g_error("a punch is refused");
	crashlab_end(c->lab, n);
}

static void do_flush(struct client *c)
{
	unsigned n = crashlab_begin(c->lab, CRASHLAB_FLUSH, 0, 0, NULL);

	if (fsync(c->fd))
		g_error("fsync: %s", g_strerror(errno));
	crashlab_end(c->lab, n);
}

/* Behind what the others have. */
static void do_truncate(struct client *c)
{
	uint64_t size = DENSE + below(c, TAIL);
	unsigned n;

	if (!below(c, 4))
		size += FAR - DENSE;
	size = size * c->bs + below(c, 2) * below(c, c->bs);
	wait_for_all(c);
	n = crashlab_begin(c->lab, CRASHLAB_RESIZE, size, 0, NULL);
	if (ftruncate(c->fd, (off_t)size))
		g_error("ftruncate: %s", g_strerror(errno));
	crashlab_end(c->lab, n);
}

/* Nothing has to be committed for these: a flush is one of the disk. */
static void overwrite(struct client *c)
{
	uint64_t pos = (c->n * STRIPE + below(c, STRIPE - 4)) * c->bs;
	uint64_t len = (1 + below(c, 4)) * c->bs;

	if (!below(c, 3)) {
		do_flush(c);
		return;
	}
	wait_for_range(c, pos, len);
	do_write(c, pos, len);
}

static void one_op(struct client *c)
{
	uint64_t what = below(c, 100), pos, len;

	if (what < 58) {
		some_range(c, MOST, &pos, &len);
		wait_for_range(c, pos, len);
		do_write(c, pos, len);
	} else if (what < 72) {
		do_fallocate(c, FALLOC_FL_PUNCH_HOLE, CRASHLAB_ZERO);
	} else if (what < 79) {
		do_fallocate(c, FALLOC_FL_ZERO_RANGE, CRASHLAB_ZERO);
	} else if (what < 84) {
		do_fallocate(c, 0, CRASHLAB_ALLOCATE);
	} else if (what < 95 || c->n) {
		do_flush(c);
	} else {
		do_truncate(c);
	}
}

static void *client_main(void *arg)
{
	struct client *c = arg;

	for (unsigned i = 0; i < OPS; i++)
		one_op(c);
	for (unsigned i = 0; i < OVERWRITES; i++)
		overwrite(c);
	wait_for_all(c);
	return NULL;
}

static void client_start(struct client *c, const char *image, uint32_t seed)
{
	c->rand = g_rand_new_with_seed(seed + 17 * c->n);
	c->fd = open(image,
		     O_RDWR | O_CLOEXEC | (is_buffered(c) ? 0 : O_DIRECT));
	if (c->fd < 0 || syscall(SYS_io_setup, DEPTH, &c->ctx))
		g_error("'%s': %s", image, g_strerror(errno));
	for (unsigned i = 0; i < DEPTH; i++)
		c->slots[i].buf = g_aligned_alloc(1, (MOST + 1) * c->bs, 4096);
	if (pthread_create(&c->thread, NULL, client_main, c))
		g_error("no thread");
}

static void client_end(struct client *c)
{
	pthread_join(c->thread, NULL);
	syscall(SYS_io_destroy, c->ctx);
	for (unsigned i = 0; i < DEPTH; i++)
		g_aligned_free(c->slots[i].buf);
	g_rand_free(c->rand);
}

/* Returns the number of the unmount, which has begun. */
static unsigned clients_work(struct crashlab *lab, uint32_t bs,
			     const char *image, uint32_t seed)
{
	struct client clients[CLIENTS];
	unsigned n;

	memset(clients, 0, sizeof(clients));
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].lab = lab;
		clients[i].bs = bs;
		clients[i].n = i;
		client_start(&clients[i], image, seed);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		client_end(&clients[i]);
	/* The host comes to rest when the image has no user. */
	n = crashlab_begin(lab, CRASHLAB_UNMOUNT, 0, 0, NULL);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(clients[i].fd);
	return n;
}

/* ---- judging ---- */

static unsigned quota(void)
{
	const char *states = g_getenv("RAWMAP_STATES");

	if (states)
		return (unsigned)g_ascii_strtoull(states, NULL, 0);
	if (g_getenv("RAWMAP_FULL"))
		return 4000;
	return crashlab_is_slow() ? 30 : 80;
}

static bool judge(struct crashlab *lab, uint32_t seed)
{
	struct crashlab_traffic t = { 0 };
	struct crashlab_result r;
	bool good;

	crashlab_judge(lab, CRASHLAB_SOUND, quota(), &r);
	if (crashlab_has_journal(lab))
		crashlab_traffic(lab, &t);
	fprintf(stderr,
		"# RAWMAP_SEED=%u: %u of %u states, %u repaired, %u bad; %u"
		" transactions, %u copies\n",
		seed, r.states, r.possible, r.repaired, r.bad, t.transactions,
		t.copies);
	good = !r.bad && r.possible > 100;
	if (r.bad)
		fprintf(stderr, "bad: %s\n", r.first);
	else if (!good)
		fprintf(stderr, "there is not much to judge\n");
	g_free(r.first);
	return good;
}

/*
 * The same recording with a fault: found, or the laboratory is blind. Where it
 * hardly shows more states are looked at.
 */
static bool find(struct crashlab *lab, enum crashlab_fault fault,
		 const char *what)
{
	bool found = false;

	for (unsigned n = CONTROLS; !found && n <= MOST_CONTROLS; n *= 5) {
		struct crashlab_result r;

		crashlab_judge(lab, fault, n, &r);
		found = r.bad > 0;
		fprintf(stderr, "# %s: %u of %u states are bad: %.160s\n", what,
			r.bad, r.states, r.first ? r.first : "");
		g_free(r.first);
	}
	return found;
}

static bool find_all(struct crashlab *lab)
{
	return find(lab, CRASHLAB_NO_FLUSH, "no flush in a commit") &&
	       find(lab, CRASHLAB_LATE_DATA, "data behind its commit") &&
	       /* The last one: it changes the record. */
	       find(lab, CRASHLAB_UNAWAITED, "data that no flush waits for");
}

/* ---- the conversation ---- */

static void say(const char *word)
{
	printf("%s\n", word);
	fflush(stdout);
}

static bool hear(const char *word)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		return false;
	g_strchomp(line);
	return !strcmp(line, word);
}

static bool served_well(const struct recfs_stats *s)
{
	fprintf(stderr,
		"# %u writes, %u while others were on their way, which %u"
		" flushes overtook\n",
		s->writes, s->beside, s->overtook);
	if (s->clashes)
		fprintf(stderr, "%u writes of bytes that were on their way\n",
			s->clashes);
	return !s->clashes && s->beside;
}

static bool record(struct crashlab *lab, uint32_t bs, const char *file,
		   const char *image, uint32_t seed)
{
	struct recfs *fs = recfs_new(crashlab_device(lab), file, seed);
	struct recfs_stats stats;
	bool good = false;
	unsigned n;

	crashlab_set_clock(lab, recfs_epoch(fs));
	say("ready");
	if (hear("mounted")) {
		n = clients_work(lab, bs, image, seed);
		say("done");
		good = hear("unmounted");
		crashlab_end(lab, n);
	}
	good = good && recfs_finish(fs, &stats) && served_well(&stats);
	recfs_free(fs);
	return good;
}

int main(int argc, char **argv)
{
	struct crashlab_spec spec = {
		.host_size = UINT64_C(8) << 20,
		.dense = DENSE,
		.far = FAR,
	};
	uint32_t seed = crashlab_seed(0);
	struct crashlab *lab;
	bool good;

	if (argc != 5 && argc != 6) {
		fprintf(stderr,
			"usage: %s FILE IMAGE MKFS BLOCKSIZE [faults]\n",
			argv[0]);
		return 2;
	}
	spec.mkfs = argv[3];
	spec.block_size = (uint32_t)g_ascii_strtoull(argv[4], NULL, 0);
	if (spec.block_size > 1024)
		spec.host_size *= 4;
	fprintf(stderr, "# %s: RAWMAP_SEED=%u\n", spec.mkfs, seed);
	lab = crashlab_await(&spec, seed);
	good = record(lab, spec.block_size, argv[1], argv[2], seed);
	if (good) {
		crashlab_over(lab);
		good = judge(lab, seed) &&
		       (argc == 5 || crashlab_is_slow() || find_all(lab));
	}
	crashlab_free(lab);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
