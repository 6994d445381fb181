/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON text: nesting and commas, what has to be escaped, what is not text. */
#include <rawmap/base/json.h>

#include <check.h>
#include <stdlib.h>

static struct json j;

static void setup(void)
{
	json_init(&j);
}

static void teardown(void)
{
	json_clear(&j);
}

static void expect(const char *want)
{
	g_autofree char *text = json_end(&j);

	ck_assert_str_eq(text, want);
}

START_TEST(members_are_separated)
{
	json_object(&j, NULL);
	json_u64(&j, "n", UINT64_MAX);
	json_bool(&j, "yes", true);
	json_bool(&j, "no", false);
	json_string(&j, "none", NULL);
	json_object_end(&j);
	expect("{\"n\": 18446744073709551615, \"yes\": true, \"no\": false, "
	       "\"none\": null}");
}
END_TEST

START_TEST(what_is_nested_is_separated_on_each_level)
{
	json_object(&j, NULL);
	json_array(&j, "a");
	json_object(&j, NULL);
	json_object_end(&j);
	json_object(&j, NULL);
	json_u64(&j, "x", 1);
	json_object_end(&j);
	json_string(&j, NULL, "y");
	json_array_end(&j);
	json_array(&j, "b");
	json_array_end(&j);
	json_object_end(&j);
	expect("{\"a\": [{}, {\"x\": 1}, \"y\"], \"b\": []}");
}
END_TEST

static const struct {
	const char *value, *text;
} strings[] = {
	{ "", "\"\"" },
	{ "plain", "\"plain\"" },
	{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "line\nend\ttab\x01\x1f\x7f",
	  "\"line\\u000aend\\u0009tab\\u0001\\u001f\\u007f\"" },
	{ "\303\244\342\202\254", "\"\303\244\342\202\254\"" },
	{ "bad\377byte", "\"bad\357\277\275byte\"" },
	{ "cut\303", "\"cut\357\277\275\"" },
};

START_TEST(a_string_is_escaped)
{
	json_string(&j, NULL, strings[_i].value);
	expect(strings[_i].text);
}
END_TEST

START_TEST(a_name_is_escaped)
{
	json_object(&j, NULL);
	json_u64(&j, "a\"b", 0);
	json_object_end(&j);
	expect("{\"a\\\"b\": 0}");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json");
	TCase *tc = tcase_create("json");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, members_are_separated);
	tcase_add_test(tc, what_is_nested_is_separated_on_each_level);
	tcase_add_loop_test(tc, a_string_is_escaped, 0, G_N_ELEMENTS(strings));
	tcase_add_test(tc, a_name_is_escaped);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
