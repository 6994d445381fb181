/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/inspect/statsreport.h>

#include <check.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

static struct rawmap_stats st;

static void fresh(void)
{
	st = (struct rawmap_stats){
		.uptime_ns = 100 * NS_PER_S,
		.requests = 1000,
		.request_ns_total = 250 * NS_PER_S,
		.queue_depth = 3,
		.queue_depth_max = 32,
		.reads = 700,
		.read_bytes = 5 << 20,
		.cache_hits = 995,
		.cache_misses = 5,
		.cache_bytes = 1536,
		.cache_budget = 32 << 20,
		.commits = 4,
		.commit_ns_total = 20000000,
		.commit_ns_max = 12345678,
		.commit_ns_p99 = 12345678,
		.pending_blocks = 17,
	};
}

/* As separated by blanks; a short line has empty ones. */
static void columns(const char *line, char column[12][16])
{
	int n;

	memset(column, 0, 12 * sizeof(*column));
	n = sscanf(line, "%15s%15s%15s%15s%15s%15s%15s%15s%15s%15s%15s%15s",
		   column[0], column[1], column[2], column[3], column[4],
		   column[5], column[6], column[7], column[8], column[9],
		   column[10], column[11]);
	ck_assert_int_eq(n, 11);
}

/* Blanks that only align do not count. */
static char *squeezed(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++)
		if (*from != ' ' || from[1] != ' ')
			*to++ = *from;
	*to = '\0';
	return text;
}

static void has(const char *text, const char *what)
{
	ck_assert_msg(strstr(text, what) != NULL, "no '%s' in:\n%s", what,
		      text);
}

START_TEST(the_table_has_means_units_and_percentages)
{
	g_autofree char *table = squeezed(statsreport_table(&st));

	has(table, "up 1 min 40 s\n");
	has(table, "requests 1000 250 ms each\n");
	has(table, "in flight 3 32 at most, 2.50 on average\n");
	has(table, "reads 700 5 MiB\n");
	has(table, "memory 1.5 KiB of 32 MiB\n");
	has(table, "hits 995 99.5 %\n");
	has(table, "mean 5.00 ms\n");
	has(table, "p99 12.3 ms\n");
	has(table, "pending 17 blocks to be written\n");
	has(table, "failed no\n");
}
END_TEST

START_TEST(a_broken_host_says_why)
{
	g_autofree char *table = NULL;

	st.failed = EIO;
	table = squeezed(statsreport_table(&st));
	has(table, "Input/output error read-only now\n");
}
END_TEST

START_TEST(without_anything_nothing_is_divided)
{
	g_autofree char *table = NULL, *line = NULL, *json = NULL;

	st = (struct rawmap_stats){ 0 };
	table = squeezed(statsreport_table(&st));
	line = statsreport_interval(&st, &st);
	json = statsreport_json(&st);
	has(table, "hits 0 0.0 %\n");
	has(json, "\"commit_ns_mean\": 0}");
	ck_assert(!strstr(line, "nan") && !strstr(line, "inf"));
}
END_TEST

START_TEST(a_log_has_a_line_a_group)
{
	g_auto(GStrv) lines = statsreport_lines(&st);

	ck_assert_uint_eq(g_strv_length(lines), 5);
	ck_assert_str_eq(lines[0], "server: up 1 min 40 s, requests 1000 (250 "
				   "ms each), in flight 3 (32 at most, 2.50 on "
				   "average)");
	has(lines[1], "image: reads 700 (5 MiB), writes 0 (0 B), ");
	for (unsigned i = 0; i < 5; i++)
		ck_assert_ptr_null(strchr(lines[i], '\n'));
}
END_TEST

START_TEST(json_has_raw_numbers_in_one_line)
{
	g_autofree char *json = statsreport_json(&st);

	ck_assert_int_eq(json[0], '{');
	ck_assert_ptr_null(strchr(json, '\n'));
	has(json, "\"uptime_ns\": 100000000000,");
	has(json, "\"queue_depth\": 3, \"queue_depth_max\": 32,");
	has(json, "\"read_bytes\": 5242880,");
	has(json, "\"commit_ns_p99\": 12345678,");
	has(json, "\"commit_ns_mean\": 5000000}");
}
END_TEST

START_TEST(an_interval_is_what_moved_by_the_servers_time)
{
	struct rawmap_stats now = st;
	g_autofree char *line = NULL;
	char column[12][16];

	now.uptime_ns += 2 * NS_PER_S;
	now.reads += 500;
	now.read_bytes += 6 << 20;
	now.writes += 30;
	now.write_bytes += 1 << 20;
	now.fills += 7;
	now.requests += 100;
	now.request_ns_total += 3 * NS_PER_S;
	now.cache_hits += 3;
	now.cache_misses += 1;
	now.commits += 2;
	now.commit_ns_total += 5000000;
	line = statsreport_interval(&st, &now);
	columns(line, column);
	ck_assert_str_eq(column[0], "250.0"); /* r/s */
	ck_assert_str_eq(column[1], "3.0");
	ck_assert_str_eq(column[2], "15.0");
	ck_assert_str_eq(column[3], "0.5");
	ck_assert_str_eq(column[4], "3.5");
	ck_assert_str_eq(column[5], "1.50"); /* aqu-sz */
	ck_assert_str_eq(column[6], "30.00");
	ck_assert_str_eq(column[7], "75.0");
	ck_assert_str_eq(column[8], "2");
	ck_assert_str_eq(column[9], "2.50");
	ck_assert_str_eq(column[10], "17");
}
END_TEST

START_TEST(an_interval_without_looks_has_no_percentage)
{
	struct rawmap_stats now = st;
	g_autofree char *line = NULL;
	char column[12][16];

	now.uptime_ns += NS_PER_S;
	line = statsreport_interval(&st, &now);
	columns(line, column);
	ck_assert_str_eq(column[0], "0.0");
	ck_assert_str_eq(column[7], "-");
}
END_TEST

/* A server that began later than the last look was made is another one. */
START_TEST(the_counters_of_another_server_count_from_its_begin)
{
	struct rawmap_stats now = st;
	g_autofree char *line = NULL, *first = NULL;
	const struct rawmap_stats none = { 0 };

	now.uptime_ns = NS_PER_S;
	now.reads = 20;
	line = statsreport_interval(&st, &now);
	first = statsreport_interval(&none, &now);
	ck_assert_str_eq(line, first);
	has(line, "   20.0 ");
}
END_TEST

START_TEST(columns_stand_below_their_names)
{
	g_autofree char *line = statsreport_interval(&st, &st);

	ck_assert_uint_eq(strlen(line), 80);
	ck_assert_uint_eq(strlen(statsreport_heading()), 80);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("statsreport");
	TCase *tc = tcase_create("statsreport");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_add_test(tc, the_table_has_means_units_and_percentages);
	tcase_add_test(tc, a_broken_host_says_why);
	tcase_add_test(tc, without_anything_nothing_is_divided);
	tcase_add_test(tc, a_log_has_a_line_a_group);
	tcase_add_test(tc, json_has_raw_numbers_in_one_line);
	tcase_add_test(tc, an_interval_is_what_moved_by_the_servers_time);
	tcase_add_test(tc, an_interval_without_looks_has_no_percentage);
	tcase_add_test(tc, the_counters_of_another_server_count_from_its_begin);
	tcase_add_test(tc, columns_stand_below_their_names);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
