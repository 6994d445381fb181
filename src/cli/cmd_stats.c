/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap stats: the counters of a mounted image, asked by ioctl(2). */
#include "cli_priv.h"

#include <rawmap/ioctl.h>

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(name) offsetof(struct rawmap_stats, name)

static const struct {
	const char *name;
	size_t at;
} fields[] = {
	{ "reads", AT(reads) },
	{ "read_bytes", AT(read_bytes) },
	{ "writes", AT(writes) },
	{ "write_bytes", AT(write_bytes) },
	{ "fills", AT(fills) },
	{ "fill_bytes", AT(fill_bytes) },
	{ "punches", AT(punches) },
	{ "punch_bytes", AT(punch_bytes) },
	{ "zeros", AT(zeros) },
	{ "flushes", AT(flushes) },
	{ "errors", AT(errors) },
	{ "cache_extents", AT(cache_extents) },
	{ "cache_bytes", AT(cache_bytes) },
	{ "cache_hits", AT(cache_hits) },
	{ "cache_misses", AT(cache_misses) },
	{ "cache_loads", AT(cache_loads) },
	{ "cache_evictions", AT(cache_evictions) },
	{ "commits", AT(commits) },
	{ "commit_blocks", AT(commit_blocks) },
	{ "commit_ns_total", AT(commit_ns_total) },
	{ "commit_ns_max", AT(commit_ns_max) },
	{ "pending_blocks", AT(pending_blocks) },
	{ "pending_free", AT(pending_free) },
	{ "failed", AT(failed) },
	{ "dev_reads", AT(dev_reads) },
	{ "dev_read_bytes", AT(dev_read_bytes) },
	{ "dev_writes", AT(dev_writes) },
	{ "dev_write_bytes", AT(dev_write_bytes) },
	{ "dev_flushes", AT(dev_flushes) },
	{ "dev_errors", AT(dev_errors) },
};

G_STATIC_ASSERT(G_N_ELEMENTS(fields) * sizeof(uint64_t) ==
		sizeof(struct rawmap_stats));

static void print_stats(const struct rawmap_stats *stats, bool json)
{
	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		uint64_t value;

		memcpy(&value, (const char *)stats + fields[i].at,
		       sizeof(value));
		if (json)
			printf("%s\"%s\": %" PRIu64, i ? ",\n  " : "{\n  ",
			       fields[i].name, value);
		else
			printf("%-16s %" PRIu64 "\n", fields[i].name, value);
	}
	if (json)
		puts("\n}");
}

int cmd_stats(const struct command *self, int argc, char **argv)
{
	struct rawmap_stats stats;
	GError *error = NULL;
	gboolean json = FALSE;
	bool done;
	const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE,
					   &json, "Print one JSON object",
					   NULL },
					 G_OPTION_ENTRY_NULL };

	if (!command_parse(self, entries, 1, 1, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!exposed_ask(argv[1], RAWMAP_IOC_STATS, &stats, &error))
		return command_fail(error);
	print_stats(&stats, json);
	if (!output_finish(&error))
		return command_fail(error);
	return STATUS_OK;
}
