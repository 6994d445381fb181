/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory with a content that is known, more of it than there is:
 *
 *   tool_hog MIB PASSES
 *
 * Fills it, says "filled", waits for a line on standard input; then, so many
 * times, looks at each page and gives it a new content; looks once more and says
 * "verified". Exit status 1 and a sentence when a page is not what it was.
 */
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE  4096
#define WORDS (PAGE / sizeof(uint64_t))

static uint64_t word_of(uint64_t page, uint64_t version, size_t i)
{
	uint64_t x = (page * WORDS + i + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x ^= version * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 31;
}

static void stamp(uint64_t *at, uint64_t page, uint64_t version)
{
	for (size_t i = 0; i < WORDS; i++)
		at[i] = word_of(page, version, i);
}

static void check(const uint64_t *at, uint64_t page, uint64_t version)
{
	for (size_t i = 0; i < WORDS; i++) {
		if (at[i] == word_of(page, version, i))
			continue;
		fprintf(stderr,
			"tool_hog: page %" PRIu64 ", version %" PRIu64
			": word %zu is %#" PRIx64 "\n",
			page, version, i, at[i]);
		exit(EXIT_FAILURE);
	}
}

static void say(const char *what)
{
	puts(what);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t pages, passes, version = 0;
	uint64_t *memory;
	char line[16];

	if (argc != 3)
		return EXIT_FAILURE;
	pages = g_ascii_strtoull(argv[1], NULL, 10) * ((1 << 20) / PAGE);
	passes = g_ascii_strtoull(argv[2], NULL, 10);
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return EXIT_FAILURE;

	for (uint64_t p = 0; p < pages; p++)
		stamp(memory + p * WORDS, p, version);
	say("filled");
	if (!fgets(line, sizeof(line), stdin))
		return EXIT_FAILURE;
	for (; version < passes; version++) {
		for (uint64_t p = 0; p < pages; p++) {
			check(memory + p * WORDS, p, version);
			stamp(memory + p * WORDS, p, version + 1);
		}
	}
	for (uint64_t p = 0; p < pages; p++)
		check(memory + p * WORDS, p, version);
	say("verified");
	return EXIT_SUCCESS;
}
