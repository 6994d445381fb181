/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as Digital Forensics XML, one fileobject in one volume, by the public
 * schema (dfxml.xsd, version 1.2.0), whose order of elements it keeps.
 *
 *   run         attributes beside file_offset and len
 *   mapped      fs_offset, img_offset
 *   unwritten   fs_offset, img_offset, fill="0", type="unwritten"
 *   hole        fill="0"
 *
 * img_offset counts from the beginning of the source, fs_offset from that of
 * the host. An unwritten run has a place, where old bytes may still be, but
 * they are not the file's: who reads the file has to take the fill. With
 * unwritten=raw they are shown as the file's, and there is no fill.
 *
 * Runs end with the file. They are the content only; the blocks of the map and
 * those beyond the end of the file are not in here.
 */
#include "inspect_priv.h"

#include <rawmap/dev/blkdev.h>
#include <rawmap_config.h>

#include <inttypes.h>
#include <time.h>

#define NAMESPACE \
	"http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML"

static void print_text(FILE *out, const char *indent, const char *name,
		       const char *text)
{
	g_autofree char *escaped = xmltext_escape(text);

	fprintf(out, "%s<%s>%s</%s>\n", indent, name, escaped, name);
}

static void print_number(FILE *out, const char *indent, const char *name,
			 uint64_t number)
{
	fprintf(out, "%s<%s>%" PRIu64 "</%s>\n", indent, name, number, name);
}

/* As xs:dateTime, in UTC. What no calendar has is left out. */
static void print_time(FILE *out, const char *name, const struct timespec *at)
{
	char day[32], fraction[16] = "";
	struct tm tm;

	if (!gmtime_r(&at->tv_sec, &tm) ||
	    !strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	if (at->tv_nsec > 0 && at->tv_nsec < 1000000000)
		g_snprintf(fraction, sizeof(fraction), ".%09ld", at->tv_nsec);
	fprintf(out, "      <%s>%s%sZ</%s>\n", name, day, fraction, name);
}

static void print_volume(const struct report *r)
{
	struct hostfs *fs = hostfile_host(r->what->hf);
	uint64_t offset = r->what->source_offset;
	struct hostfs_info info;

	hostfs_info(fs, &info);
	fprintf(r->out, "  <volume offset=\"%" PRIu64 "\">\n", offset);
	if (offset)
		print_number(r->out, "    ", "partition_offset", offset);
	print_number(r->out, "    ", "sector_size",
		     blkdev_geometry(hostfs_data_dev(fs))->sector);
	print_number(r->out, "    ", "block_size", info.block_size);
	print_text(r->out, "    ", "ftype_str", info.kind);
	print_number(r->out, "    ", "block_count", info.blocks);
	hostfs_info_clear(&info);
}

/* A name is relative to the root of the volume; an inode number is none. */
static void print_filename(const struct report *r)
{
	const char *path = hostfile_path(r->what->hf);

	if (*path != '/')
		return;
	while (*path == '/')
		path++;
	print_text(r->out, "      ", "filename", path);
}

static void print_file(const struct report *r)
{
	struct hostfile_attr attr;
	FILE *out = r->out;

	hostfile_attr(r->what->hf, &attr);
	fputs("    <fileobject>\n", out);
	print_filename(r);
	print_text(out, "      ", "name_type", "r");
	print_number(out, "      ", "filesize", r->size);
	print_number(out, "      ", "alloc", !attr.deleted);
	print_number(out, "      ", "inode", attr.ino);
	print_number(out, "      ", "meta_type", 1);
	print_number(out, "      ", "mode", attr.mode & 07777);
	print_number(out, "      ", "nlink", attr.links);
	print_number(out, "      ", "uid", attr.uid);
	print_number(out, "      ", "gid", attr.gid);
	print_time(out, "mtime", &attr.mtime);
	print_time(out, "ctime", &attr.ctime);
	print_time(out, "atime", &attr.atime);
}

static bool dfxml_begin(struct report *r, GError **error)
{
	(void)error;
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	      "<dfxml xmlns=\"" NAMESPACE "\"\n"
	      "       xmlns:dc=\"http://purl.org/dc/elements/1.1/\""
	      " version=\"1.2.0\">\n"
	      "  <metadata>\n"
	      "    <dc:type>File Extent Map</dc:type>\n"
	      "  </metadata>\n"
	      "  <creator>\n"
	      "    <program>rawmap</program>\n"
	      "    <version>" RAWMAP_VERSION "</version>\n"
	      "  </creator>\n"
	      "  <source>\n",
	      r->out);
	print_text(r->out, "    ", "image_filename", r->what->source);
	fputs("  </source>\n", r->out);
	print_volume(r);
	print_file(r);
	fputs("      <byte_runs>\n", r->out);
	return true;
}

static void dfxml_extent(struct report *r, const struct extent *e)
{
	uint64_t start, len;

	if (!report_bytes(r, e, &start, &len))
		return;
	fprintf(r->out, "        <byte_run file_offset=\"%" PRIu64 "\"", start);
	if (e->state != EXTENT_HOLE)
		fprintf(r->out,
			" fs_offset=\"%" PRIu64 "\" img_offset=\"%" PRIu64 "\"",
			report_host_byte(r, e->phys),
			report_source_byte(r, e->phys));
	fprintf(r->out, " len=\"%" PRIu64 "\"", len);
	if (report_reads_zero(r, e->state))
		fputs(" fill=\"0\"", r->out);
	if (e->state == EXTENT_UNWRITTEN)
		fputs(" type=\"unwritten\"", r->out);
	fputs("/>\n", r->out);
}

/* "resident", as fiwalk has it of content beside the metadata. */
static void dfxml_inside(struct report *r)
{
	uint64_t rest = r->size - r->inside;

	fprintf(r->out,
		"        <byte_run file_offset=\"0\" len=\"%" PRIu64
		"\" type=\"resident\"/>\n",
		r->inside);
	if (rest)
		fprintf(r->out,
			"        <byte_run file_offset=\"%" PRIu64
			"\" len=\"%" PRIu64 "\" fill=\"0\"/>\n",
			r->inside, rest);
}

static void dfxml_end(struct report *r)
{
	fputs("      </byte_runs>\n"
	      "    </fileobject>\n"
	      "  </volume>\n"
	      "</dfxml>\n",
	      r->out);
}

const struct mapformat mapformat_dfxml = {
	.name = "dfxml",
	.begin = dfxml_begin,
	.extent = dfxml_extent,
	.inside = dfxml_inside,
	.end = dfxml_end,
};
