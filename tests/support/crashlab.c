/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host is made so that trees are deep: the free space lies in splinters
 * between the blocks of another file, and every other block of the image is
 * there from the start.
 */
#include <support/crashlab_priv.h>

#include <support/memdev.h>
#include <support/orderdev.h>

#include <ext2fs/ext2_fs.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t crashlab_below(struct crashlab *lab, uint64_t n)
{
	return n ? g_rand_int(lab->rand) % n : 0;
}

uint32_t crashlab_seed(uint32_t salt)
{
	const char *env = g_getenv("RAWMAP_SEED");

	return env ? (uint32_t)g_ascii_strtoull(env, NULL, 0)
		   : g_random_int() ^ salt;
}

uint32_t crashlab_super_u32(const uint8_t *bytes, size_t at)
{
	uint32_t v;

	memcpy(&v, bytes + 1024 + at, sizeof(v));
	return GUINT32_FROM_LE(v);
}

uint32_t crashlab_super_block(const struct crashlab *lab)
{
	return 1024 / lab->spec.block_size;
}

static void make_stale(struct hostimg *host, uint8_t *bytes)
{
	uint32_t bs = 1024U << crashlab_super_u32(bytes, 24);
	uint32_t want = crashlab_super_u32(bytes, 12), found = 0;
	g_autofree char *answer = hostimg_ask(host, "ffb %u", want);
	char *at = strchr(answer, ':'), *end;

	g_assert(at);
	for (at++;; at = end, found++) {
		unsigned long block = strtoul(at, &end, 10);

		if (end == at)
			break;
		memset(bytes + block * bs, CRASHLAB_STALE, bs);
	}
	g_assert(found == want);
}

/* Holes of 1 to 3 blocks in a file that holds @blocks blocks. */
static void splinter(struct crashlab *lab, struct hostimg *host,
		     uint32_t blocks)
{
	const struct hostimg_piece all = {
		0,
		(uint64_t)blocks * lab->spec.block_size,
	};
	g_autoptr(GString) commands = g_string_new(NULL);
	uint64_t at = crashlab_below(lab, 3);

	hostimg_put(host, "filler", 1, all.len, &all, 1);
	while (at < blocks) {
		uint64_t n = 1 + crashlab_below(lab, 3);

		if (at + n > blocks)
			break;
		g_string_append_printf(commands, "punch filler %u %u\n",
				       (unsigned)at, (unsigned)(at + n - 1));
		at += n + 1 + crashlab_below(lab, 2);
	}
	hostimg_edit(host, "%s", commands->str);
}

/* Runs of a block or two, with holes of as many, over half of the image. */
static void put_image(struct crashlab *lab, struct hostimg *host)
{
	uint32_t bs = lab->spec.block_size;
	g_autoptr(GArray) pieces =
		g_array_new(FALSE, FALSE, sizeof(struct hostimg_piece));
	uint64_t at = 0;

	while (at < lab->spec.dense * 7 / 10) {
		struct hostimg_piece p = {
			at * bs,
			(1 + crashlab_below(lab, 2)) * bs,
		};

		g_array_append_val(pieces, p);
		at += p.len / bs + 1 + crashlab_below(lab, 2);
	}
	hostimg_put(host, CRASHLAB_NAME, 2, (uint64_t)lab->spec.dense * bs,
		    (const struct hostimg_piece *)(void *)pieces->data,
		    pieces->len);
}

static uint32_t free_blocks(struct hostimg *host)
{
	size_t len;
	g_autofree uint8_t *bytes = hostimg_bytes(host, &len);

	return crashlab_super_u32(bytes, 12);
}

/* The last few blocks are for the workload to run out of. */
static void fill_up(struct crashlab *lab, struct hostimg *host)
{
	const struct hostimg_piece all = {
		0,
		(uint64_t)(free_blocks(host) - 40) * lab->spec.block_size,
	};

	hostimg_put(host, "filler", 1, all.len, &all, 1);
}

/*
 * The block of the inode table that holds the image's inode starts with one that
 * was deleted, and its first bytes are the magic of a journal: whoever logs that
 * block has to escape it. This makes the one to be deleted; @next is the first
 * free inode.
 */
static uint32_t put_victim(struct crashlab *lab, struct hostimg *host,
			   uint32_t next)
{
	size_t len;
	g_autofree uint8_t *bytes = hostimg_bytes(host, &len);
	uint32_t inode_size = crashlab_super_u32(bytes, 88) & 0xffff;
	uint32_t per_block = lab->spec.block_size / inode_size;
	uint32_t victim = (next - 2 + per_block) / per_block * per_block + 1;
	g_autoptr(GString) commands = g_string_new(NULL);

	for (; next <= victim; next++)
		g_string_append_printf(commands, "mknod pad%u p\n", next);
	hostimg_edit(host, "%s", commands->str);
	return victim;
}

static void plant_magic(struct hostimg *host, uint32_t victim)
{
	hostimg_edit(host,
		     "rm pad%u\nset_inode_field <%u> mode 0x3bc0\n"
		     "set_inode_field <%u> uid 0x9839\n",
		     victim, victim, victim);
}

static void make_host(struct crashlab *lab)
{
	const struct hostimg_spec spec = { lab->spec.mkfs,
					   lab->spec.host_size };
	struct hostimg *host = hostimg_make(&spec);
	uint32_t victim = 0, next = 12; /* behind lost+found */

	if (!lab->spec.full) {
		splinter(lab, host, free_blocks(host) / 2);
		next++;
	}
	/* In every other run. */
	if (lab->seed % 2)
		victim = put_victim(lab, host, next);
	put_image(lab, host);
	if (lab->spec.full)
		fill_up(lab, host);
	if (victim)
		plant_magic(host, victim);
	lab->start = hostimg_bytes(host, &lab->host_size);
	make_stale(host, lab->start);
	lab->journal = crashlab_super_u32(lab->start, 92) &
		       EXT3_FEATURE_COMPAT_HAS_JOURNAL;
	crashlab_log_learn(lab, host);
	crashlab_log_setup(lab);
	hostimg_free(host);
}

struct crashlab *crashlab_new(const struct crashlab_spec *spec, uint32_t seed)
{
	struct crashlab *lab = g_new0(struct crashlab, 1);
	const struct crashlab_op none = { .name = "start", .covers = true };

	lab->spec = *spec;
	lab->seed = seed;
	lab->rand = g_rand_new_with_seed(seed);
	lab->extents = strstr(spec->mkfs, "ext4") != NULL;
	make_host(lab);
	lab->mem = memdev_new(lab->host_size, 512);
	memcpy(memdev_bytes(lab->mem), lab->start, lab->host_size);
	lab->order = orderdev_new(lab->mem);
	lab->rec = recdev_new(lab->order);
	lab->oracle = oracle_new(spec->block_size);
	if (!lab->journal && (!lab->extents || spec->full))
		oracle_loose_size(lab->oracle);
	lab->ops = g_array_new(FALSE, FALSE, sizeof(struct crashlab_op));
	g_array_append_val(lab->ops, none);
	mutex_init(&lab->lock);

	lab->now = g_malloc(lab->host_size);
	lab->state = crashlab_copy_new(lab->host_size);
	lab->twin = crashlab_copy_new(lab->host_size);
	lab->out_fd = memfd_create("out", MFD_CLOEXEC);
	if (lab->out_fd < 0)
		g_error("crashlab: %s", g_strerror(errno));
	return lab;
}

struct crashlab *crashlab_run(const struct crashlab_spec *spec, uint32_t seed)
{
	struct crashlab *lab = crashlab_new(spec, seed);

	crashlab_work(lab);
	lab->events = recdev_events(lab->rec);
	return lab;
}

bool crashlab_has_journal(const struct crashlab *lab)
{
	return lab->journal;
}

void crashlab_free(struct crashlab *lab)
{
	if (!lab)
		return;
	g_clear_pointer(&lab->events, g_ptr_array_unref);
	mutex_clear(&lab->lock);
	crashlab_copy_free(&lab->state, lab->host_size);
	crashlab_copy_free(&lab->twin, lab->host_size);
	close(lab->out_fd);
	g_array_unref(lab->log);
	g_free(lab->log_index);
	g_free(lab->is_system);
	g_array_unref(lab->ops);
	oracle_free(lab->oracle);
	blkdev_unref(lab->rec);
	blkdev_unref(lab->order);
	blkdev_unref(lab->mem);
	g_rand_free(lab->rand);
	g_free(lab->now);
	g_free(lab->start);
	g_free(lab->buf);
	g_free(lab);
}
