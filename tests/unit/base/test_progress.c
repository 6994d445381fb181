/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard error is a terminal, or a pipe, and time is what the test says. */
#include <rawmap/base/log.h>
#include <rawmap/base/progress.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MS  UINT64_C(1000000)
#define MIB (UINT64_C(1) << 20)
#define END '\001'

static char said[8192];
static int stderr_saved;
static int far_end; /* of the terminal or the pipe */
static struct progress p;

static void speak_to(int fd)
{
	stderr_saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

static void make_wide(int fd, unsigned short columns)
{
	const struct winsize size = { .ws_row = 24, .ws_col = columns };

	ck_assert_int_eq(ioctl(fd, TIOCSWINSZ, &size), 0);
}

static void speak_to_terminal(unsigned short columns)
{
	int near;

	far_end = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(far_end, 0);
	ck_assert_int_eq(grantpt(far_end), 0);
	ck_assert_int_eq(unlockpt(far_end), 0);
	near = open(ptsname(far_end), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(near, 0);
	make_wide(near, columns);
	speak_to(near);
}

static void speak_to_pipe(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	far_end = ends[0];
	speak_to(ends[1]);
}

/* All that was written, as a string; the next one begins behind it. */
static const char *seen(void)
{
	const char end = END;
	size_t len = 0;

	ck_assert_int_eq(write(STDERR_FILENO, &end, 1), 1);
	do
		ck_assert_int_eq(read(far_end, said + len, 1), 1);
	while (said[len++] != END);
	said[len - 1] = '\0';
	return said;
}

static void hang_up(void)
{
	dup2(stderr_saved, STDERR_FILENO);
	close(stderr_saved);
	close(far_end);
}

static void step(uint64_t ms, uint64_t done, uint64_t total)
{
	progress_step_at(&p, done, total, p.began + ms * MS);
}

/* Something that is done, seen by a terminal of the usual width. */
static void begin(void)
{
	speak_to_terminal(80);
	progress_begin(&p, "doing", PROGRESS_SHARE);
}

static void end(void)
{
	progress_end(&p);
	hang_up();
}

START_TEST(a_pipe_gets_nothing)
{
	speak_to_pipe();
	progress_begin(&p, "doing", PROGRESS_BYTES);
	for (uint64_t ms = 0; ms < 5000; ms += 100)
		step(ms, ms, 5000);
	progress_end(&p);
	ck_assert_str_eq(seen(), "");
	hang_up();
}
END_TEST

START_TEST(what_is_over_soon_shows_nothing)
{
	speak_to_terminal(80);
	progress_begin(&p, "doing", PROGRESS_BYTES);
	step(10, MIB, 5 * MIB);
	step(499, 5 * MIB, 5 * MIB);
	progress_end(&p);
	ck_assert_str_eq(seen(), "");
	hang_up();
}
END_TEST

START_TEST(after_half_a_second_there_is_a_line)
{
	speak_to_terminal(80);
	progress_begin(&p, "doing", PROGRESS_BYTES);
	step(500, 3 * MIB, 12 * MIB);
	ck_assert_str_eq(seen(), "rawmap: doing: 25%, 3 MiB of 12 MiB, "
				 "6 MiB/s");
	end();
}
END_TEST

START_TEST(it_is_drawn_ten_times_a_second)
{
	begin();
	step(500, 1, 10);
	seen();
	step(599, 2, 10);
	ck_assert_str_eq(seen(), "");
	step(600, 3, 10);
	ck_assert_ptr_nonnull(strstr(seen(), "rawmap: doing: 30%"));
	end();
}
END_TEST

START_TEST(a_new_line_takes_the_old_ones_place)
{
	begin();
	step(500, 9, 100);
	ck_assert_str_eq(seen(), "rawmap: doing: 9%");
	step(600, 10, 100);
	ck_assert_str_eq(seen(), "\r                 \rrawmap: doing: 10%");
	end();
}
END_TEST

START_TEST(the_end_takes_it_away)
{
	begin();
	step(500, 9, 100);
	seen();
	progress_end(&p);
	ck_assert_str_eq(seen(), "\r                 \r");
	progress_end(&p);
	ck_assert_str_eq(seen(), "");
	hang_up();
}
END_TEST

START_TEST(a_message_takes_its_place)
{
	begin();
	step(500, 9, 100);
	seen();
	log_warning("careful");
	ck_assert_str_eq(seen(), "\r                 \rrawmap: careful\r\n");
	step(600, 10, 100);
	ck_assert_str_eq(seen(), "rawmap: doing: 10%");
	end();
}
END_TEST

START_TEST(it_says_how_long_it_will_take)
{
	begin();
	step(1999, 1, 4000);
	ck_assert_ptr_null(strstr(seen(), "left"));
	step(2100, 1, 4000);
	ck_assert_ptr_nonnull(strstr(seen(), "0%, 2:19:58 left"));
	step(4000, 3999, 4000);
	ck_assert_ptr_nonnull(strstr(seen(), "99%, 0:00:01 left"));
	/* Nobody knows yet, or it is all done. */
	step(4100, 0, 4000);
	ck_assert_ptr_null(strstr(seen(), "left"));
	step(4200, 4000, 4000);
	ck_assert_ptr_null(strstr(seen(), "left"));
	end();
}
END_TEST

START_TEST(it_never_goes_back)
{
	begin();
	step(500, 50, 100);
	step(600, 20, 100);
	seen();
	step(700, 20, 100);
	ck_assert_ptr_nonnull(strstr(seen(), "50%"));
	/* Nothing at all is all of it; more than all, too. */
	step(800, 0, 0);
	ck_assert_ptr_nonnull(strstr(seen(), "100%"));
	step(900, 7, 5);
	ck_assert_ptr_nonnull(strstr(seen(), "100%"));
	end();
}
END_TEST

START_TEST(a_narrow_terminal_gets_less)
{
	speak_to_terminal(20);
	progress_begin(&p, "doing", PROGRESS_BYTES);
	step(500, 3 * MIB, 12 * MIB);
	ck_assert_str_eq(seen(), "rawmap: doing: 25%,");
	progress_end(&p);
	ck_assert_str_eq(seen(), "\r                   \r");
	hang_up();
}
END_TEST

START_TEST(a_terminal_of_one_column_gets_nothing)
{
	speak_to_terminal(1);
	progress_begin(&p, "doing", PROGRESS_BYTES);
	step(500, 3 * MIB, 12 * MIB);
	progress_end(&p);
	ck_assert_str_eq(seen(), "");
	hang_up();
}
END_TEST

START_TEST(a_terminal_of_unknown_width_is_taken_for_a_usual_one)
{
	g_autofree char *what = g_strnfill(200, 'x');

	speak_to_terminal(0);
	progress_begin(&p, what, PROGRESS_SHARE);
	step(500, 3, 12);
	ck_assert_uint_eq(strlen(seen()), 79);
	end();
}
END_TEST

/* What it took away in the old width would be lines of blanks. */
START_TEST(a_terminal_that_was_made_narrow_is_not_scrolled)
{
	speak_to_terminal(80);
	progress_begin(&p, "doing", PROGRESS_BYTES);
	step(500, 3 * MIB, 12 * MIB);
	seen();
	make_wide(STDERR_FILENO, 11);
	progress_end(&p);
	ck_assert_str_eq(seen(), "\r          \r");
	hang_up();
}
END_TEST

START_TEST(who_has_closed_it_is_told_nothing)
{
	begin();
	close(STDERR_FILENO);
	step(500, 9, 100);
	log_warning("careful");
	step(600, 10, 100);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("progress");
	TCase *tc = tcase_create("progress");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_pipe_gets_nothing);
	tcase_add_test(tc, what_is_over_soon_shows_nothing);
	tcase_add_test(tc, after_half_a_second_there_is_a_line);
	tcase_add_test(tc, it_is_drawn_ten_times_a_second);
	tcase_add_test(tc, a_new_line_takes_the_old_ones_place);
	tcase_add_test(tc, the_end_takes_it_away);
	tcase_add_test(tc, a_message_takes_its_place);
	tcase_add_test(tc, it_says_how_long_it_will_take);
	tcase_add_test(tc, it_never_goes_back);
	tcase_add_test(tc, a_narrow_terminal_gets_less);
	tcase_add_test(tc, a_terminal_of_one_column_gets_nothing);
	tcase_add_test(tc,
		       a_terminal_of_unknown_width_is_taken_for_a_usual_one);
	tcase_add_test(tc, a_terminal_that_was_made_narrow_is_not_scrolled);
	tcase_add_test(tc, who_has_closed_it_is_told_nothing);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
