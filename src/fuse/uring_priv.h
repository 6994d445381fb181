/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the engine of io_uring.
 *
 *   engine_uring.c   from open to close; signals
 *   uring_rings.c    rings, and the threads of more than one
 *   uring_loop.c     the event thread: requests in, completions back
 *   uring_io.c       one read, write or flush, from request to reply
 *   uring_jobs.c     the steps of it that may have to wait
 *   uring_slots.c    requests and their memory, a bounded number of them
 *   uring_entries.c  requests that the kernel puts into our memory (-o io_uring)
 *   uring_relay.c    how that is agreed on; libfuse's replies to them
 *   uring_workers.c  threads, which such steps queue for
 *
 * A request lives in a slot, and the slot has one owner at a time:
 *
 *   free --> event thread --> kernel (its I/O) --> event thread --> free
 *               |    ^                                |
 *               +----|----> a lane's queue <----------+
 *                    |             |
 *                    +--------- its thread -----------------------> free
 *
 * An event thread is the one that opened its ring; nobody else touches it. It
 * waits for nothing but the ring: it takes no lock that is held across I/O, or
 * across a wait for something that only it can end (an I/O of the ring holds
 * its range of the image, and the sectors of the source, until the event thread
 * has seen it complete). There is one; only where requests come through io_uring
 * there are more, and each has the queues of some processors.
 *
 * Nobody waits for what is queued on the own lane: see uring_jobs.c.
 */
#ifndef RAWMAP_URING_PRIV_H
#define RAWMAP_URING_PRIV_H

#include "engine_priv.h"

#include <liburing.h>
#include <sched.h>
#include <sys/uio.h>

/* In the data of a completion, which is an address: that of an entry. */
#define URING_ENTRY UINT64_C(1)

/* Requests at a time; more wait in the kernel. Each can take MAX_TRANSFER. */
#define URING_SLOTS 64

/* One I/O of the ring: a segment of a request, or a flush. */
struct xfer {
	struct slot *slot;
	struct blkdev_raw at; /* moves on when a part is through */
	uint8_t *buf;	      /* as at */
	uint32_t left;
	uint32_t len;
	bool again; /* the kernel did not want to the first time */
};

struct fuse_uring_req_header;

struct slot {
	struct ring *ring;  /* set once: its event thread's */
	struct slots *home; /* set once: where it is put */
	/*
	 * A message of the kernel. The payload of a write, which stands 80 bytes
	 * into it, is where direct I/O wants it; a read uses the same place.
	 */
	uint8_t *message, *payload;	 /* set once */
	size_t len;			 /* of the message */
	struct slot *next;		 /* in the one list it is in */
	void (*work)(struct slot *slot); /* for a worker; puts the slot */

	/* A read, write or flush */
	enum blkdev_io op;
	fuse_req_t req;
	struct image *img;
	uint8_t *buf;
	size_t size, done;
	img_off pos;
	bool sync; /* a write: durable before its reply */
	int err;
	uint64_t since;	  /* image_request_begin() */
	unsigned planned; /* of xfer */
	unsigned inflight;
	bool refused;	     /* by the kernel: something of the part */
	struct blkdev *held; /* filedev_raw_hold() of that; NULL: none */
	struct image_io io;
	struct xfer xfer[IMAGE_SEGS];

	/* Of an entry only */
	struct fuse_uring_req_header *head; /* set once; shared with the kernel */
	struct iovec iov[2];		    /* set once: head and payload */
	uint16_t queue;			    /* set once */
	uint64_t unique; /* atomic: of its request; 0: it has none */
	bool replied;	 /* atomic: the reply stands in head and payload */
};

struct slots {
	void *memory;
	size_t memory_len;
	unsigned n;
	struct slot *all; /* array of n */
	struct mutex lock;
	struct slot *free; /* guarded by lock; the last one used first */
	unsigned used;	   /* guarded by lock */
	bool starved;	   /* guarded by lock: somebody went without */
	struct slot *back, *back_last; /* guarded by lock: given back */
};

/* @n of them, or none: 0 or -ENOMEM. clear: all are free. */
int slots_init(struct slots *slots, unsigned n, struct ring *ring);
void slots_clear(struct slots *slots);
/* NULL: there is none; the next put says so. */
struct slot *slots_get(struct slots *slots);
/* The page before the payload; the message needs its last 168 bytes at most. */
void *slots_page(const struct slot *slot);
/* From any thread. True: somebody has gone without since the last put. */
bool slots_put(struct slots *slots, struct slot *slot);
/* Are all of them free? If not, the next put says so. */
bool slots_all_free(struct slots *slots);
/*
 * To the event thread, which is to go on with it. From any thread. True: there
 * was none yet, so it has to be told.
 */
bool slots_give_back(struct slots *slots, struct slot *slot);
/* All that came back, oldest first, linked; NULL: none. */
struct slot *slots_take_back(struct slots *slots);

/* A lane: a queue, and threads, started as they are needed. */
struct workers {
	struct mutex lock;
	struct cond wake;
	struct slot *first, *last; /* guarded by lock: the queue */
	unsigned queued;	   /* guarded by lock */
	unsigned idle;		   /* guarded by lock */
	bool stop;		   /* guarded by lock */
	unsigned n, max;	   /* n: guarded by lock */
	cpu_set_t cpus;		   /* set once: where they may run */
	pthread_t *threads;
};

/* 0, or -errno when not even one can be had; nothing to stop then. */
int workers_start(struct workers *w, unsigned max);
/* All that there may be, now, as far as they can be had. */
void workers_fill(struct workers *w);
void workers_add(struct workers *w, struct slot *slot); /* from any thread */
/* Nothing is queued, and nobody adds any more. */
void workers_stop(struct workers *w);

/*
 * Requests that come through the rings: FUSE over io_uring. An entry is a slot
 * that the kernel fills; a ring has those of some queues. What is free among its
 * slots here is not in the kernel's hands and has to be given back: with a reply,
 * or for the first time.
 */
struct entries {
	unsigned busy; /* the event thread's: that have a request */
	struct slots slots;
};

/* How that was agreed on, and what libfuse replies meanwhile. */
struct relay {
	bool wanted;  /* set once: -o io_uring */
	bool granted; /* set at FUSE_INIT */
	int kernel;   /* /dev/fuse while libfuse's is none; else -1 */
	int replies;  /* where libfuse's replies come out then; else -1 */
	struct mutex lock;
	bool undone;	  /* guarded by lock: libfuse has the kernel's again */
	uint8_t *relayed; /* guarded by lock: the one looked at */
};

enum watch { WATCH_FUSE, WATCH_WAKE, WATCH_SIGNAL, WATCH_REPLIES, WATCHES };

/*
 * An event thread and its ring. The first one has /dev/fuse, signals and
 * libfuse's replies; others are there for entries only.
 */
struct ring {
	struct uring *u; /* set once */
	unsigned nr;	 /* set once */
	struct io_uring io;
	struct slots slots;
	struct entries entries;
	int wake_fd;	  /* an eventfd: a slot was missed, or comes back */
	pthread_t thread; /* of others than the first; set before requests come */

	/* The event thread's */
	struct slot *current; /* being dispatched; NULL: somebody took it */
	int fd[WATCHES];      /* -1: not watched */
	bool watched[WATCHES];
	unsigned outstanding; /* completions that have to come */
	bool readable;	      /* the kernel may have requests */
};

#define MAX_RINGS 16

/* Of the threads of rings behind the first one. */
struct starting {
	struct mutex lock;
	struct cond changed;
	unsigned ready; /* guarded by lock: have tried to make theirs */
	int err;	/* guarded by lock: of the first that could not */
	bool go, stop;	/* guarded by lock */
	unsigned created;
	pthread_t thread[MAX_RINGS];
};

struct uring {
	struct session *s;
	struct blkdev *dev; /* where the host's data lies */
	struct ring ring[MAX_RINGS];
	unsigned rings; /* set once */
	struct starting start;
	struct workers workers, host, ends; /* uring_jobs.c */
	gint guard_done; /* atomic: hostfs_guard() needs no lock any more */
	struct relay relay;
	gint over; /* atomic */
	gint res;  /* atomic: for serve */
};

/* A ring, for the calling thread only. 0 or -errno; rings_free() in any case. */
int ring_init(struct ring *r, struct uring *u, unsigned nr);
/* The kernel forgets it; the memory that it may still write to stays. */
void ring_leave(struct ring *r);
/* Where requests come through rings: run on the processor that has its queue. */
void ring_stay(const struct ring *r);

/* How many there shall be; not one is made yet. free: of all. */
void rings_init(struct uring *u);
void rings_free(struct uring *u);
/* Make those behind the first one, with a thread each, which waits. 0, -errno. */
int rings_start(struct uring *u);
void rings_go(struct uring *u);
/* Behind uring_end(), or when they never went. */
void rings_end(struct uring *u);

/* The event thread's loop, from start to the last completion. Sets u->res. */
void ring_loop(struct ring *r);

/*
 * Room for one more I/O, to be prepared and to be given its xfer as data. Never
 * NULL.
 */
struct io_uring_sqe *ring_sqe(struct ring *r);

/* A request of @slot, its message in memory. It will be put. */
void uring_dispatch(struct slot *slot);
/* Nothing is mounted any more (0), a signal, or -errno. */
void uring_end(struct uring *u, int res);
static inline bool uring_is_over(struct uring *u)
{
	return g_atomic_int_get(&u->over);
}

/* struct engine_ops */
void uring_read(struct session *s, fuse_req_t req, struct image *img,
		size_t size, img_off pos);
void uring_write(struct session *s, fuse_req_t req, struct image *img,
		 const char *buf, size_t size, img_off pos, bool sync);
void uring_flush(struct session *s, fuse_req_t req, struct image *img);

/* An I/O is over: bytes or -errno. */
void uring_io_done(struct xfer *x, int res);

/* A part came back begun; uring_fits() says yes. */
void uring_io_begun(struct slot *slot);

/*
 * Can the ring move all segments of slot->io? Then they stand in slot->xfer. No
 * if one has pads, or has no raw way; writes have one device at its end.
 */
bool uring_fits(struct slot *slot);

/* ---- from any thread ---- */

void uring_reply(struct slot *slot);
/* It is replied to: the slot is free, the event thread told. */
void uring_put(struct slot *slot);
/* Begun: the event thread is to move it. */
void uring_give_back(struct slot *slot);

/* ---- uring_jobs.c: from now on somebody else's ---- */

void uring_job_message(struct slot *slot, void (*work)(struct slot *));
/* A read of more than a slot has room for. */
void uring_job_oversized(struct slot *slot);
/*
 * A flush from its begin on; or behind that; or, when slot->err says how it went,
 * its end.
 */
void uring_job_flush(struct slot *slot);
void uring_job_flush_begun(struct slot *slot);
void uring_job_flush_end(struct slot *slot);
/* What of a read or write is not done yet. */
void uring_job_begin(struct slot *slot);
/* slot->io was begun: move it; or end it, slot->err says how it went. */
void uring_job_move(struct slot *slot);
void uring_job_end(struct slot *slot);

/* Processors that there can ever be: the kernel has a queue for each. */
unsigned entries_queues(void);
/* Memory for all that the ring is to have. 0 or -ENOMEM. */
int entries_init(struct ring *r);
/*
 * On the event thread, before it submits: what is free is given to the kernel,
 * with its reply.
 */
void entries_give(struct ring *r);
/* The last replies, when nobody works on a request any more. */
void entries_finish(struct ring *r);
/* The kernel has put a request into @slot, or says why it does not (-errno). */
void entry_done(struct slot *slot, int res);
/* The reply, on any thread that has the slot; data stands in its payload. */
void entry_reply(struct slot *slot, int err, size_t len);

/* The other messages of libfuse, from where it wrote them. From any thread. */
void relay_replies(struct uring *u);
/* libfuse speaks to the kernel itself, from now on. False: it did already. */
bool relay_undo(struct uring *u);
void relay_init(struct uring *u);
void relay_close(struct uring *u);

#endif
