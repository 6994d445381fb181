/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image as it is read with the options for hosts that are looked at, over a
 * device that aborts on any write:
 *
 *   tool_reach [-d] [-u] [-s BLOCK] [-b SIZE] HOST PATH     its content
 *   tool_reach -i [...] HOST PATH      a line about a deleted one:
 *                                      size blocks in-use orphan time
 *
 * -d deleted, -u unwritten blocks raw, -s and -b the superblock to be read by.
 * Exit status 1 with a sentence on standard error.
 */
#include <rawmap/dev/filedev.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/nowritedev.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEP (UINT64_C(1) << 20)

static int fail(const GError *error)
{
	fprintf(stderr, "tool_reach: %s\n", error->message);
	return EXIT_FAILURE;
}

static int copy_out(struct image *img)
{
	g_autofree char *buf = g_malloc(STEP);
	uint64_t at = 0;
	ssize_t n;

	for (;;) {
		n = image_pread(img, buf, STEP, img_off_at(at));
		if (n <= 0)
			break;
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			n = -1;
		if (n < 0)
			break;
		at += (uint64_t)n;
	}
	if (n < 0 || fflush(stdout))
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}

static int describe(struct image *img)
{
	struct hostfile_remains left;
	struct hostfile_attr attr;
	int err = hostfile_remains(image_file(img), &left);

	if (err) {
		fprintf(stderr, "tool_reach: %s\n", g_strerror(-err));
		return EXIT_FAILURE;
	}
	image_attr(img, &attr);
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %d %" PRId64 "\n",
	       attr.size, left.blocks, left.in_use, left.orphan,
	       (int64_t)attr.dtime.tv_sec);
	return EXIT_SUCCESS;
}

static int look(struct hostfs *fs, const char *path, bool info)
{
	g_autoptr(GError) error = NULL;
	struct hostfile *hf = hostfile_open(fs, path, 1 << 20, &error);
	struct image *img;
	int status;

	if (!hf)
		return fail(error);
	img = image_new(hf, true);
	status = info ? describe(img) : copy_out(img);
	image_free(img);
	return status;
}

static int run(const char *host, const char *path, struct hostfs_options opt,
	       bool info)
{
	const struct filedev_options how = { .readonly = true };
	g_autoptr(GError) error = NULL;
	struct blkdev *file = filedev_open(host, &how, &error), *dev;
	int status = EXIT_FAILURE;
	struct hostfs *fs;

	if (!file)
		return fail(error);
	dev = nowritedev_new(file);
	fs = hostfs_open(dev, &opt, &error);
	if (fs)
		status = look(fs, path, info);
	else
		fail(error);
	hostfs_close(fs);
	blkdev_unref(dev);
	blkdev_unref(file);
	return status;
}

int main(int argc, char **argv)
{
	struct hostfs_options opt = { .readonly = true };
	bool info = false;
	int c;

	while ((c = getopt(argc, argv, "idus:b:")) != -1) {
		switch (c) {
		case 'i':
			info = true;
			break;
		case 'd':
			opt.deleted = true;
			break;
		case 'u':
			opt.raw_unwritten = true;
			break;
		case 's':
			opt.super_block = strtoull(optarg, NULL, 0);
			break;
		case 'b':
			opt.super_block_size =
				(uint32_t)strtoul(optarg, NULL, 0);
			break;
		default:
			return EXIT_FAILURE;
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: tool_reach [-i] [-d] [-u] [-s BLOCK]"
				" [-b SIZE] HOST PATH\n");
		return EXIT_FAILURE;
	}
	opt.name = argv[optind];
	return run(argv[optind], argv[optind + 1], opt, info);
}
