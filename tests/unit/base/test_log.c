/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard error is a pipe while a message is written. */
#include <rawmap/base/log.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char said[4096];
static int stderr_saved;
static int pipe_read;

static void listen_to_stderr(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	stderr_saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	ck_assert_int_ge(stderr_saved, 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	pipe_read = ends[0];
}

/* What arrived since listen_to_stderr(), all of it, as a string. */
static const char *heard(void)
{
	size_t len = 0;
	ssize_t n;

	/* The last writer goes, so reading ends. */
	ck_assert_int_eq(dup2(stderr_saved, STDERR_FILENO), STDERR_FILENO);
	close(stderr_saved);
	while ((n = read(pipe_read, said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	close(pipe_read);
	said[len] = '\0';
	return said;
}

static void restore(void)
{
	log_set_level(LOG_LEVEL_NOTICE);
	log_use_syslog(false);
}

/* A name may be anything; a list after a sentence is ours. */
START_TEST(control_characters_are_not_let_out)
{
	listen_to_stderr();
	log_error("'%s': no such file", "a\nrawmap: b\r\033[2J\177");
	log_error("choose one:\n %s\n %s", "first", "second\t\303\244");
	ck_assert_str_eq(heard(), "rawmap: 'a?rawmap: b??[2J?': no such file\n"
				  "rawmap: choose one:\n first\n"
				  " second\t\303\244\n");
}
END_TEST

START_TEST(nor_those_that_are_two_bytes_of_utf8)
{
	listen_to_stderr();
	log_error("a \302\2332J \302\200 \302\237 \302\240\302");
	ck_assert_str_eq(heard(), "rawmap: a ??2J ?? ?? \302\240\302\n");
}
END_TEST

START_TEST(what_is_no_detail_is_said_unless_told_otherwise)
{
	listen_to_stderr();
	log_error("disk %d is gone", 3);
	log_warning("careful");
	log_notice("as asked");
	log_info("hello");
	log_debug("detail");
	ck_assert_str_eq(heard(), "rawmap: disk 3 is gone\nrawmap: careful\n"
				  "rawmap: as asked\n");
}
END_TEST

START_TEST(the_level_decides_what_is_said)
{
	log_set_level(LOG_LEVEL_ERROR);
	listen_to_stderr();
	log_warning("careful");
	ck_assert_str_eq(heard(), "");

	log_set_level(LOG_LEVEL_DEBUG);
	listen_to_stderr();
	log_debug("detail");
	ck_assert_str_eq(heard(), "rawmap: detail\n");
}
END_TEST

START_TEST(log_enabled_agrees_with_the_level)
{
	log_set_level(LOG_LEVEL_INFO);
	ck_assert(log_enabled(LOG_LEVEL_ERROR));
	ck_assert(log_enabled(LOG_LEVEL_INFO));
	ck_assert(!log_enabled(LOG_LEVEL_DEBUG));
}
END_TEST

START_TEST(what_goes_to_syslog_does_not_go_to_standard_error)
{
	log_use_syslog(true);
	listen_to_stderr();
	log_warning("careful");
	ck_assert_str_eq(heard(), "");

	log_use_syslog(false);
	listen_to_stderr();
	log_warning("careful");
	ck_assert_str_eq(heard(), "rawmap: careful\n");
}
END_TEST

START_TEST(a_message_keeps_errno)
{
	listen_to_stderr();
	errno = ENOSPC;
	log_error("x");
	ck_assert_int_eq(errno, ENOSPC);
	heard();
}
END_TEST

START_TEST(a_message_is_never_read_as_a_format)
{
	listen_to_stderr();
	log_error("%s", "100%s%n");
	ck_assert_str_eq(heard(), "rawmap: 100%s%n\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("log");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, restore, restore);
	tcase_add_test(tc, control_characters_are_not_let_out);
	tcase_add_test(tc, nor_those_that_are_two_bytes_of_utf8);
	tcase_add_test(tc, what_is_no_detail_is_said_unless_told_otherwise);
	tcase_add_test(tc, the_level_decides_what_is_said);
	tcase_add_test(tc, log_enabled_agrees_with_the_level);
	tcase_add_test(tc, what_goes_to_syslog_does_not_go_to_standard_error);
	tcase_add_test(tc, a_message_keeps_errno);
	tcase_add_test(tc, a_message_is_never_read_as_a_format);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
