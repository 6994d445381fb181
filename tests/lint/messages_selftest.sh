#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# messages.py finds what it is there to find: sources and a page of their own,
# with one thing wrong at a time, and with nothing wrong.

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v python3 >/dev/null || exit 77
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failures=0
mkdir -p "$tree/src/base" "$tree/docs" "$tree/tests"
: >"$tree/tests/test_a.c"

cat >"$tree/src/base/a.c" <<'END'
#define ADVICE "; run 'e2fsck -f'"
/* log_error("not in %s", "a comment"); */
static bool a(const char *path, GError **error)
{
	const char *why = NULL;

	if (path)
		why = "it is blue";
	else
		why = "it is" " green";
	log_warning("'%s' has %" PRIu64 " bytes, 100 %% of"
		    " them bad" ADVICE, path, n);
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE, "'%s': %s", path,
		    why);
	return path ? option_usage(error, "no '%s' here", path) : true;
}
END

page() { # ROW...
	printf '%s\n' '| Message | When | End | Test |' "$@" \
		>"$tree/docs/messages.md"
}

check() { # WANTED STATUS, TEXT OF THE COMPLAINT
	local said status=0
	said=$(python3 -B "$here/messages.py" check "$tree" 2>&1) || status=$?
	if [[ $status -ne $1 || $said != *"$2"* ]]; then
		echo "not '$2' ($1), but ($status): $said"
		failures=$((failures + 1))
	fi
}

warning="| \`'FILE' has N bytes, 100 % of them bad; run 'e2fsck -f'\` | | warning | \`tests/test_a.c\` |"
blue="| \`'FILE': it is blue\` | | 2 | none: no time |"
green="| \`'FILE': it is green\` | | 2 | none: no time |"
usage="| \`no 'FILE' here\` | | 2 | none: no time |"

page "$warning" "$blue" "$green" "$usage"
check 0 ''
page "$blue" "$green" "$usage"
check 1 "src/base/a.c:11: docs/messages.md has no row"
page "$warning" "$blue" "$usage"
check 1 "| \`'X': it is green\` |"
page "$warning" "$blue" "$green"
check 1 "| \`no 'X' here\` | when; what to do | 2 |"
page "$warning" "$blue" "$green" "$usage" "${usage/no/any}"
check 1 "docs/messages.md:6: the sources have no such message"
page "${warning/warning/info}" "$blue" "$green" "$usage"
check 1 'it ends with warning, not with info'
page "${warning/test_a/test_b}" "$blue" "$green" "$usage"
check 1 'there is no test tests/test_b.c'
page "${warning/| |/|}" "$blue" "$green" "$usage"
check 1 '3 cells instead of 4'

printf 'void b(void)\n{\n\tlog_info(words, 1);\n}\n' >"$tree/src/base/b.c"
page "$warning" "$blue" "$green" "$usage"
check 1 'src/base/b.c:3: the words of this message cannot be seen'

if ((failures)); then
	echo "$failures failure(s)"
	exit 1
fi
