/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block that no operation named has no history: zeros, always. A version
 * whose bytes are NULL is zeros, too.
 */
#include <support/oracle.h>

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>

#define WORD	   8
#define DIGIT	   6
#define WORD_MASK  ((UINT64_C(1) << (WORD * DIGIT)) - 1)
#define SCRAMBLE   UINT64_C(0x9e3779b97f4b)
#define BLOCK_BITS 20
#define OP_BITS	   14

struct version {
	unsigned op;
	uint8_t *bytes; /* block_size of them; NULL: zeros */
};

struct size_version {
	unsigned op;
	uint64_t size;
};

struct oracle {
	uint32_t block_size;
	GHashTable *blocks; /* number -> GArray of struct version */
	GArray *sizes;	    /* of struct size_version */
	bool loose_size;
	uint8_t *zeros; /* a block of them */
};

static void clear_version(gpointer data)
{
	g_free(((struct version *)data)->bytes);
}

static void free_history(gpointer data)
{
	g_array_unref(data);
}

struct oracle *oracle_new(uint32_t block_size)
{
	const struct size_version none = { 0, 0 };
	struct oracle *o = g_new0(struct oracle, 1);

	o->block_size = block_size;
	o->blocks = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
					  free_history);
	o->sizes = g_array_new(FALSE, FALSE, sizeof(struct size_version));
	g_array_append_val(o->sizes, none);
	o->zeros = g_malloc0(block_size);
	return o;
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	g_hash_table_unref(o->blocks);
	g_array_unref(o->sizes);
	g_free(o->zeros);
	g_free(o);
}

void oracle_loose_size(struct oracle *o)
{
	o->loose_size = true;
}

/* ---- stamps ---- */

static uint64_t word_of(unsigned op, uint64_t block, uint64_t index)
{
	uint64_t plain = block | (uint64_t)op << BLOCK_BITS |
			 index << (BLOCK_BITS + OP_BITS);

	return plain * SCRAMBLE & WORD_MASK;
}

/* The inverse of an odd number modulo a power of two, by Newton. */
static uint64_t unscramble(uint64_t word)
{
	uint64_t inverse = SCRAMBLE;

	for (int i = 0; i < 6; i++)
		inverse *= 2 - SCRAMBLE * inverse;
	return word * inverse & WORD_MASK;
}

static uint8_t digit_of(uint64_t word, unsigned i)
{
	return (uint8_t)(0xc0 | (word >> (i * DIGIT) & ((1 << DIGIT) - 1)));
}

void oracle_stamp(const struct oracle *o, unsigned op, uint64_t pos,
		  uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t at = (pos + i) % o->block_size;

		buf[i] = digit_of(word_of(op, (pos + i) / o->block_size,
					  at / WORD),
				  (unsigned)(at % WORD));
	}
}

/* Whose are these bytes? The caller frees. */
static char *name_bytes(const struct oracle *o, const uint8_t *block,
			uint64_t at)
{
	const uint8_t *p = block + at / WORD * WORD;
	uint64_t word = 0, plain;

	for (unsigned i = 0; i < WORD; i++) {
		if (p[i] < 0xc0)
			return g_strdup_printf("%02x%02x%02x%02x %02x%02x%02x"
					       "%02x",
					       p[0], p[1], p[2], p[3], p[4],
					       p[5], p[6], p[7]);
		word |= (uint64_t)(p[i] & 0x3f) << (i * DIGIT);
	}
	plain = unscramble(word);
	return g_strdup_printf("what operation %u wrote to byte %u of block %u",
			       (unsigned)(plain >> BLOCK_BITS) &
				       ((1U << OP_BITS) - 1),
			       (unsigned)(plain >> (BLOCK_BITS + OP_BITS)) *
				       WORD % o->block_size,
			       (unsigned)plain & ((1U << BLOCK_BITS) - 1));
}

/* ---- history ---- */

static const struct version *version_at(const GArray *history, guint i)
{
	return &g_array_index(history, struct version, i);
}

static GArray *history_of(struct oracle *o, uint64_t block)
{
	const struct version first = { 0, NULL };
	gint64 key = (gint64)block;
	GArray *h = g_hash_table_lookup(o->blocks, &key);

	if (h)
		return h;
	h = g_array_new(FALSE, FALSE, sizeof(struct version));
	g_array_set_clear_func(h, clear_version);
	g_array_append_val(h, first);
	g_hash_table_insert(o->blocks, g_memdup2(&key, sizeof(key)), h);
	return h;
}

/* A copy of the block's newest content, to be changed. */
static struct version *next_version(struct oracle *o, uint64_t block,
				    unsigned op)
{
	GArray *h = history_of(o, block);
	const uint8_t *old = version_at(h, h->len - 1)->bytes;
	struct version v = { op, NULL };

	v.bytes = g_memdup2(old ? old : o->zeros, o->block_size);
	g_array_append_val(h, v);
	return &g_array_index(h, struct version, h->len - 1);
}

/* The part of [pos, end) that lies in @block. */
static size_t part_of(const struct oracle *o, uint64_t block, uint64_t pos,
		      uint64_t end, size_t *ret_len)
{
	uint64_t start = block * o->block_size;
	uint64_t from = u64_max(pos, start);
	uint64_t to = u64_min(end, start + o->block_size);

	*ret_len = to > from ? to - from : 0;
	return from - start;
}

void oracle_write(struct oracle *o, unsigned op, uint64_t pos, uint64_t len)
{
	uint64_t end = pos + len;

	for (uint64_t b = pos / o->block_size; b * o->block_size < end; b++) {
		size_t n, at = part_of(o, b, pos, end, &n);
		struct version *v = next_version(o, b, op);

		oracle_stamp(o, op, b * o->block_size + at, v->bytes + at, n);
	}
	if (end > oracle_size(o))
		oracle_resize(o, op, end);
}

void oracle_zero(struct oracle *o, unsigned op, uint64_t pos, uint64_t len)
{
	uint64_t end = len > UINT64_MAX - pos ? UINT64_MAX : pos + len;
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, o->blocks);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		uint64_t b = *(uint64_t *)key;
		size_t n, at;

		if (b * o->block_size >= end || (b + 1) * o->block_size <= pos)
			continue;
		at = part_of(o, b, pos, end, &n);
		memset(next_version(o, b, op)->bytes + at, 0, n);
	}
}

void oracle_resize(struct oracle *o, unsigned op, uint64_t size)
{
	const struct size_version v = { op, size };

	if (size < oracle_size(o))
		oracle_zero(o, op, size, UINT64_MAX);
	g_array_append_val(o->sizes, v);
}

uint64_t oracle_size(const struct oracle *o)
{
	return g_array_index(o->sizes, struct size_version, o->sizes->len - 1)
		.size;
}

void oracle_start(struct oracle *o, struct image *img)
{
	const struct size_version size = { 0, image_size(img) };
	uint32_t bs = o->block_size;
	img_off at = { 0 }, end;

	g_array_append_val(o->sizes, size);
	while (!image_seek_data(img, at, &at)) {
		int err = image_seek_hole(img, at, &end);

		g_assert(!err);
		for (uint64_t b = at.v / bs; b * bs < end.v; b++) {
			uint8_t *bytes = next_version(o, b, 0)->bytes;
			ssize_t n =
				image_pread(img, bytes, bs, img_off_at(b * bs));

			g_assert(n > 0);
		}
		at = end;
	}
}

/* ---- judging ---- */

/* The first version of the window: the newest that is not newer than @base. */
static guint first_open(const GArray *h, struct oracle_window w)
{
	guint i = h->len - 1;

	while (i && version_at(h, i)->op > w.base)
		i--;
	return i;
}

static bool byte_allowed(const GArray *h, struct oracle_window w, size_t at,
			 uint8_t byte)
{
	for (guint i = first_open(h, w);
	     i < h->len && (version_at(h, i)->op <= w.last); i++) {
		const uint8_t *bytes = version_at(h, i)->bytes;

		if (byte == (bytes ? bytes[at] : 0))
			return true;
	}
	return false;
}

static char *complain(const struct oracle *o, const GArray *h,
		      struct oracle_window w, uint64_t block,
		      const uint8_t *bytes, size_t at)
{
	g_autofree char *name = name_bytes(o, bytes, at);
	GString *s = g_string_new(NULL);

	g_string_printf(s, "block %llu, byte %zu: %s; allowed were:",
			(unsigned long long)block, at, name);
	for (guint i = h ? first_open(h, w) : 0;
	     h && i < h->len && version_at(h, i)->op <= w.last; i++) {
		const uint8_t *v = version_at(h, i)->bytes;
		g_autofree char *text = name_bytes(o, v ? v : o->zeros, at);

		g_string_append_printf(s, " [as of %u] %s",
				       version_at(h, i)->op, text);
	}
	return g_string_free(s, FALSE);
}

static char *judge_block(const struct oracle *o, struct oracle_window w,
			 uint64_t block, const uint8_t *bytes, size_t len)
{
	gint64 key = (gint64)block;
	const GArray *h = g_hash_table_lookup(o->blocks, &key);
	const uint8_t *v = NULL;

	if (h)
		v = version_at(h, first_open(h, w))->bytes;
	if (!memcmp(v ? v : o->zeros, bytes, len))
		return NULL;
	for (size_t i = 0; i < len; i++) {
		bool good = h ? byte_allowed(h, w, i, bytes[i]) : !bytes[i];

		if (!good)
			return complain(o, h, w, block, bytes, i);
	}
	return NULL;
}

/* Between the sizes, rounded up: where a block of one of the states ends. */
static bool size_between(const struct oracle *o, uint64_t size, uint64_t low,
			 uint64_t high)
{
	return o->loose_size && size % o->block_size == 0 && size >= low &&
	       size < high + o->block_size;
}

static char *judge_size(const struct oracle *o, struct oracle_window w,
			uint64_t size)
{
	uint64_t low = UINT64_MAX, high = 0;
	guint i = o->sizes->len - 1;

	while (i && g_array_index(o->sizes, struct size_version, i).op > w.base)
		i--;
	for (; i < o->sizes->len; i++) {
		const struct size_version *v =
			&g_array_index(o->sizes, struct size_version, i);

		if (v->op > w.last)
			break;
		if (v->size == size)
			return NULL;
		low = u64_min(low, v->size);
		high = u64_max(high, v->size);
	}
	if (size_between(o, size, low, high))
		return NULL;
	return g_strdup_printf("the size is %llu, allowed were %llu to %llu",
			       (unsigned long long)size,
			       (unsigned long long)low,
			       (unsigned long long)high);
}

static char *judge_at(const struct oracle *o, struct oracle_window w,
		      struct image *img, uint64_t block)
{
	uint8_t buf[65536];
	ssize_t n;

	g_assert(o->block_size <= sizeof(buf));
	/* Parts of a word behind the end are not compared, but named. */
	memset(buf, 0, o->block_size);
	n = image_pread(img, buf, o->block_size,
			img_off_at(block * o->block_size));
	if (n < 0)
		return g_strdup_printf("block %llu cannot be read: %s",
				       (unsigned long long)block,
				       g_strerror((int)-n));
	return judge_block(o, w, block, buf, (size_t)n);
}

/* Whatever is data and has no history. */
static char *judge_rest(const struct oracle *o, struct oracle_window w,
			struct image *img)
{
	img_off at = { 0 }, end;
	char *wrong = NULL;
	int err;

	while (!(err = image_seek_data(img, at, &at))) {
		err = image_seek_hole(img, at, &end);
		if (err)
			break;
		for (uint64_t b = at.v / o->block_size;
		     !wrong && b * o->block_size < end.v; b++)
			if (!g_hash_table_contains(o->blocks, &b))
				wrong = judge_at(o, w, img, b);
		if (wrong)
			return wrong;
		at = end;
	}
	return err == -ENXIO ? NULL
			     : g_strdup_printf("the map cannot be read: %s",
					       g_strerror(-err));
}

char *oracle_judge(const struct oracle *o, struct oracle_window w,
		   struct image *img)
{
	char *wrong = judge_size(o, w, image_size(img));
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, o->blocks);
	while (!wrong && g_hash_table_iter_next(&iter, &key, NULL))
		wrong = judge_at(o, w, img, *(uint64_t *)key);
	return wrong ? wrong : judge_rest(o, w, img);
}

char *oracle_judge_bytes(const struct oracle *o, struct oracle_window w,
			 const uint8_t *bytes, uint64_t size)
{
	char *wrong = judge_size(o, w, size);
	uint32_t bs = o->block_size;

	for (uint64_t b = 0; !wrong && b * bs < size; b++) {
		size_t n = u64_min(bs, size - b * bs);

		wrong = judge_block(o, w, b, bytes + b * bs, n);
	}
	return wrong;
}
