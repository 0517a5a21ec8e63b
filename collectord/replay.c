/*
 * Reads a recorded audit log and writes events to standard output. Opens nothing but the log, and locks itself in
 * before it reads the first byte of it. Never needs a privilege or a configuration file. Called by main.c.
 */
#include "collectord/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "collectord/encode.h"
#include "collectord/pipeline.h"
#include "collectord/source.h"
#include "common/cleanup.h"
#include "common/daemon.h"
#include "common/ecs.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/sandbox.h"

/* Epoch of the records of a replay: fixed, so that the same log gives the same bytes. */
#define REPLAY_EPOCH 1u

/* Bytes of the output buffer: as large as a batch to uplinkd. */
#define OUTPUT_BYTES LIM_BATCH_BYTES

enum output { OUTPUT_NDJSON, OUTPUT_PROTO, OUTPUT_NONE };

struct options {
	const char *file;
	enum output output;
	bool stats;
};

struct replay_run {
	enum output output;
	struct pipeline *pipeline;
	struct source *source;
	uint64_t sequence;
	int status_fd; /* /proc/self/status, opened before the sandbox; -1: not there */
	int error;     /* negative errno of the output: nothing more is written */
	size_t batch_len;
	uint8_t batch[OUTPUT_BYTES];
	uint8_t scratch[LIM_IPC_RECORD_BYTES];
};

static void
usage(FILE *out)
{
	(void)fputs("usage: collectord --replay FILE [--output ndjson|proto|none] [--stats]\n"
		    "  FILE      an audit log, raw or enriched; - is standard input\n"
		    "  --output  ndjson: ECS, one event a line (default); proto: EventRecord messages, each after its "
		    "length as a\n"
		    "            varint; none: encode and drop\n"
		    "  --stats   one JSON object on standard error at the end\n",
	    out);
}

bool
col_replay_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--replay") == 0 || strncmp(argv[i], "--replay=", 9) == 0)
			return true;
	return false;
}

/* Returns 0, or -EINVAL after saying what is wrong; *ret_help: it was asked for. */
static int
parse_options(int argc, char **argv, struct options *options, bool *ret_help)
{
	enum { OPT_REPLAY = 256, OPT_OUTPUT, OPT_STATS, OPT_HELP };
	static const struct option longs[] = {
	    {"replay", required_argument, NULL, OPT_REPLAY},
	    {"output", required_argument, NULL, OPT_OUTPUT},
	    {"stats", no_argument, NULL, OPT_STATS},
	    {"help", no_argument, NULL, OPT_HELP},
	    {NULL, 0, NULL, 0},
	};
	static const char *const outputs[] = {
	    [OUTPUT_NDJSON] = "ndjson", [OUTPUT_PROTO] = "proto", [OUTPUT_NONE] = "none"};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		size_t i = 0;

		switch (c) {
		case OPT_REPLAY:
			options->file = optarg;
			break;
		case OPT_OUTPUT:
			while (i < ARRAY_LEN(outputs) && strcmp(outputs[i], optarg) != 0)
				i++;
			if (i == ARRAY_LEN(outputs)) {
				(void)fprintf(
				    stderr, "collectord: --output %s: must be ndjson, proto or none\n", optarg);
				return -EINVAL;
			}
			options->output = (enum output)i;
			break;
		case OPT_STATS:
			options->stats = true;
			break;
		case OPT_HELP:
			usage(stdout);
			*ret_help = true;
			return 0;
		default:
			usage(stderr);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "collectord: unexpected argument %s\n", argv[optind]);
		return -EINVAL;
	}
	if (options->file == NULL) {
		usage(stderr);
		return -EINVAL;
	}
	return 0;
}

static void
write_batch(struct replay_run *r)
{
	size_t done = 0;

	while (r->output == OUTPUT_PROTO && r->error == 0 && done < r->batch_len) {
		ssize_t n = write(STDOUT_FILENO, r->batch + done, r->batch_len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			r->error = -errno;
	}
	r->batch_len = 0;
}

static void
add_to_batch(struct replay_run *r, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = OUTPUT_BYTES - r->batch_len < len ? OUTPUT_BYTES - r->batch_len : len;

		(void)memcpy(r->batch + r->batch_len, data, n);
		r->batch_len += n;
		data += n;
		len -= n;
		if (r->batch_len == OUTPUT_BYTES)
			write_batch(r);
	}
}

static void
on_event(const Picket__V1__Event *event, void *ctx)
{
	struct replay_run *r = ctx;
	const uint8_t *framed;
	size_t len;

	r->sequence++;
	if (r->output == OUTPUT_NDJSON) {
		const struct ecs_meta meta = {.sequence = r->sequence};

		if (r->error == 0 && ecs_write(stdout, event, &meta) < 0)
			r->error = errno != 0 ? -errno : -EIO;
		return;
	}
	len = encode_record(event, REPLAY_EPOCH, r->sequence, r->scratch, sizeof(r->scratch), &framed, NULL);
	/* Behind the tag, which is one byte, stands the length that delimits the record. */
	if (len > 0)
		add_to_batch(r, framed + 1, len - 1);
}

static double
seconds_of(struct timespec t)
{
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
seconds_of_cpu(const struct rusage *u)
{
	return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
	       (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

/*
 * Peak resident memory of this program in bytes. Not ru_maxrss: that keeps the peak of whoever forked us. VmHWM does
 * not (proc(5)).
 */
static uint64_t
peak_rss_bytes(const struct replay_run *r)
{
	char text[4096];
	ssize_t n = r->status_fd >= 0 ? pread(r->status_fd, text, sizeof(text) - 1, 0) : 0;
	const char *line;

	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "VmHWM:");
	return line != NULL ? strtoull(line + 6, NULL, 10) * 1024 : 0;
}

static void
print_stats(const struct replay_run *r, double seconds)
{
	const struct pipeline_stats *s = pipeline_stats(r->pipeline);
	struct rusage usage = {0};

	(void)getrusage(RUSAGE_SELF, &usage);
	(void)fprintf(stderr,
	    "{\"records\":%" PRIu64 ",\"audit_events\":%" PRIu64 ",\"events\":%" PRIu64 ",\"ignored\":%" PRIu64
	    ",\"incomplete\":%" PRIu64 ",\"malformed\":%" PRIu64,
	    s->records, s->audit_events, s->events, s->ignored, s->pieces, s->malformed);
	for (int i = RECORD_OK + 1; i < RECORD_FAULTS; i++)
		(void)fprintf(
		    stderr, ",\"malformed_%s\":%" PRIu64, record_fault_name((enum record_fault)i), s->faults[i]);
	(void)fprintf(stderr, ",\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"peak_rss_bytes\":%" PRIu64 "}\n", seconds,
	    seconds_of_cpu(&usage), peak_rss_bytes(r));
}

/* Nothing but what is open already: no file, no socket, no program. Returns 0 or -EPERM after saying why. */
static int
lock_in(void)
{
	static const struct sandbox_call calls[] = {SANDBOX_END};
	const struct sandbox sandbox = {.calls = calls};
	char err[256];

	if (sandbox_enter(&sandbox, NULL, err, sizeof(err)) < 0) {
		(void)fprintf(stderr, "collectord: sandbox: %s\n", err);
		return -EPERM;
	}
	return 0;
}

static int
open_run(struct replay_run *r, const char *file)
{
	const struct pipeline_conf conf = {
	    .normalise = {.seed = REPLAY_EPOCH, .unix_sockets = true},
	    .on_event = on_event,
	    .ctx = r,
	    .clock_from_records = true,
	};
	AUTO_FD int fd =
	    strcmp(file, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(file, O_RDONLY | O_CLOEXEC);
	struct source_sink sink;

	if (fd < 0) {
		(void)fprintf(stderr, "collectord: cannot open %s: %s\n", file, strerror(errno));
		return -EIO;
	}
	r->pipeline = pipeline_new(&conf);
	if (r->pipeline == NULL)
		return -ENOMEM;
	sink = pipeline_sink(r->pipeline);
	if (source_replay_open(fd, &sink, &r->source) < 0)
		return -ENOMEM;
	(void)STEAL_FD(fd);
	return 0;
}

/* Returns 0, or a negative errno after saying what failed. */
static int
run(struct replay_run *r, const char *file)
{
	int status;

	do
		status = source_read(r->source);
	while (status >= 0 && r->error == 0);
	pipeline_flush(r->pipeline);
	write_batch(r);
	if (r->output == OUTPUT_NDJSON && fflush(stdout) != 0 && r->error == 0)
		r->error = -errno;
	if (status < 0 && status != -ENODATA) {
		(void)fprintf(stderr, "collectord: cannot read %s: %s\n", file, strerror(-status));
		return status;
	}
	if (r->error < 0 && r->error != -EPIPE)
		(void)fprintf(stderr, "collectord: cannot write the output: %s\n", strerror(-r->error));
	return r->error;
}

int
col_replay_main(int argc, char **argv)
{
	struct options options = {.output = OUTPUT_NDJSON};
	struct timespec start, end;
	struct replay_run *r;
	bool help = false;
	int exit_code = DAEMON_EXIT_START;

	if (parse_options(argc, argv, &options, &help) < 0)
		return DAEMON_EXIT_USAGE;
	if (help)
		return DAEMON_EXIT_OK;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return DAEMON_EXIT_START;
	r->output = options.output;
	r->status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	if (open_run(r, options.file) == 0) {
		if (lock_in() < 0) {
			exit_code = DAEMON_EXIT_SANDBOX;
		} else if (run(r, options.file) == 0) {
			exit_code = DAEMON_EXIT_OK;
		}
		(void)clock_gettime(CLOCK_MONOTONIC, &end);
		if (options.stats && exit_code == DAEMON_EXIT_OK)
			print_stats(r, seconds_of(end) - seconds_of(start));
	}
	source_close(r->source);
	pipeline_free(r->pipeline);
	if (r->status_fd >= 0)
		(void)close(r->status_fd);
	free(r);
	return exit_code;
}
