/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The counters as they move: differences of two looks, by the time between
 * them, which is the server's. A column's name is iostat's where that has it.
 *
 *   aqu-sz   requests in flight, on average; one counts when it is replied to
 *   await    milliseconds from a request's arrival to its reply, on average
 *   hit%     of the looks into the extent cache; "-" without any
 *   cmt-ms   how long a commit took, on average
 *   pending  blocks that wait for the next commit, now
 */
#include <rawmap/inspect/statsreport.h>

#include <glib.h>
#include <inttypes.h>

#define MIB (1024.0 * 1024)

struct interval {
	const struct rawmap_stats *before, *now;
	double seconds;
};

/* Read one by one, so one may be a little older than its neighbour. */
static double moved(uint64_t before, uint64_t now)
{
	return now > before ? (double)(now - before) : 0;
}

#define MOVED(iv, field) moved((iv)->before->field, (iv)->now->field)

static double per(double part, double all)
{
	return all > 0 ? part / all : 0;
}

static char *hit_percent(const struct interval *iv)
{
	double hits = MOVED(iv, cache_hits);
	double looks = hits + MOVED(iv, cache_misses);

	if (looks <= 0)
		return g_strdup("-");
	return g_strdup_printf("%.1f", 100 * hits / looks);
}

const char *statsreport_heading(void)
{
	return "    r/s rMiB/s     w/s wMiB/s fills/s aqu-sz  await  hit%"
	       " commits cmt-ms pending";
}

char *statsreport_interval(const struct rawmap_stats *before,
			   const struct rawmap_stats *now)
{
	static const struct rawmap_stats nothing;
	struct interval iv = { .before = before, .now = now };
	g_autofree char *hit = NULL;
	double ns;

	if (before->uptime_ns >= now->uptime_ns)
		iv.before = &nothing;
	ns = MOVED(&iv, uptime_ns);
	iv.seconds = ns / 1e9;
	hit = hit_percent(&iv);
	return g_strdup_printf(
		"%7.1f %6.1f %7.1f %6.1f %7.1f %6.2f %6.2f %5s %7.0f %6.2f"
		" %7" PRIu64,
		per(MOVED(&iv, reads), iv.seconds),
		per(MOVED(&iv, read_bytes) / MIB, iv.seconds),
		per(MOVED(&iv, writes), iv.seconds),
		per(MOVED(&iv, write_bytes) / MIB, iv.seconds),
		per(MOVED(&iv, fills), iv.seconds),
		per(MOVED(&iv, request_ns_total), ns),
		per(MOVED(&iv, request_ns_total) / 1e6, MOVED(&iv, requests)),
		hit, MOVED(&iv, commits),
		per(MOVED(&iv, commit_ns_total) / 1e6, MOVED(&iv, commits)),
		now->pending_blocks);
}
