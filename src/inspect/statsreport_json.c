/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The counters for programs: raw numbers, by their names in the structure. */
#include <rawmap/inspect/statsreport.h>

#include <rawmap/base/json.h>

#include <stddef.h>
#include <string.h>

#define FIELD(name)                                        \
	{                                                  \
#name, offsetof(struct rawmap_stats, name) \
	}

static const struct {
	const char *name;
	size_t at;
} fields[] = {
	FIELD(uptime_ns),     FIELD(requests),	      FIELD(request_ns_total),
	FIELD(queue_depth),   FIELD(queue_depth_max), FIELD(reads),
	FIELD(read_bytes),    FIELD(writes),	      FIELD(write_bytes),
	FIELD(fills),	      FIELD(fill_bytes),      FIELD(punches),
	FIELD(punch_bytes),   FIELD(zeros),	      FIELD(flushes),
	FIELD(errors),	      FIELD(cache_extents),   FIELD(cache_bytes),
	FIELD(cache_budget),  FIELD(cache_hits),      FIELD(cache_misses),
	FIELD(cache_loads),   FIELD(cache_evictions), FIELD(commits),
	FIELD(commit_blocks), FIELD(commit_ns_total), FIELD(commit_ns_max),
	FIELD(commit_ns_p99), FIELD(pending_blocks),  FIELD(pending_free),
	FIELD(failed),	      FIELD(dev_reads),	      FIELD(dev_read_bytes),
	FIELD(dev_writes),    FIELD(dev_write_bytes), FIELD(dev_flushes),
	FIELD(dev_errors),
};

G_STATIC_ASSERT(G_N_ELEMENTS(fields) * sizeof(uint64_t) ==
		sizeof(struct rawmap_stats));

char *statsreport_json(const struct rawmap_stats *st)
{
	struct json j;

	json_init(&j);
	json_object(&j, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		uint64_t value;

		memcpy(&value, (const char *)st + fields[i].at, sizeof(value));
		json_u64(&j, fields[i].name, value);
	}
	json_u64(&j, "commit_ns_mean",
		 st->commits ? st->commit_ns_total / st->commits : 0);
	json_object_end(&j);
	return json_end(&j);
}
