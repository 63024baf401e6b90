/* store-load - keeps a node busy over its socket and writes down what it was told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store-load/load.h"

static const char usage[] =
    "Usage: store-load --socket PATH|tcp:ADDRESS:PORT [OPTION...]\n"
    "       store-load --socket PATH --check FILE\n"
    "\n"
    "Reads, writes and compare-and-swaps on registers, and keys that are written once, by clients\n"
    "that keep one operation each under way. When the node goes away, it waits for it to come "
    "back\n"
    "and goes on. In the end every key that was acknowledged is looked at. With --socket several\n"
    "times, for nodes of one cluster, the connections are shared out, and one that is lost goes "
    "to\n"
    "the next node.\n"
    "\n"
    "  --seconds S          how long (default 5), or\n"
    "  --operations N       how many operations, whichever comes first\n"
    "  --clients N          under way at once (default 16)\n"
    "  --connections N      shared by the clients (default 4)\n"
    "  --keys N             registers (default 4)\n"
    "  --prefix TEXT        of all keys (default load/)\n"
    "  --value-bytes N      of a value, at least 20 (default 24)\n"
    "  --mix R,C,U          percent reads, compare-and-swaps, write-once keys; the rest writes\n"
    "                       (default 30,20,20)\n"
    "  --sessions           repeat what was not answered, in a session; else its outcome stays "
    "open\n"
    "  --record DIR         one history for each register, DIR/NUMBER.log, for `linearizability`\n"
    "  --acks FILE          a line 'key value' for each write-once key, when it is acknowledged\n"
    "  --check FILE         only look whether all of such a file is there\n"
    "  --wait-back S        how long to wait for a node that is gone (default 10)\n"
    "  --op-timeout S       how long to wait for an answer (default 30)\n"
    "  --silence S          over TCP: a connection that answers nothing for so long is left\n"
    "  --seed N             of what is chosen (default 1)\n"
    "  --json               the result as JSON\n"
    "\n"
    "Exit status: 0 all is well, 1 something acknowledged is lost, 2 it could not be done.\n";

static int wrong(const char *word)
{
    (void)fprintf(stderr, "store-load: what is '%s'? --help tells\n", word);
    return 2;
}

static bool read_count(const char *text, uint32_t least, uint32_t most, uint32_t *count_out)
{
    char *end = NULL;
    unsigned long long number = text == NULL ? 0 : strtoull(text, &end, 10);
    if (text == NULL || end == text || *end != '\0' || number < least || number > most) {
        return false;
    }
    *count_out = (uint32_t)number;
    return true;
}

static bool read_seconds(const char *text, double *seconds_out)
{
    char *end = NULL;
    *seconds_out = text == NULL ? 0 : strtod(text, &end);
    return text != NULL && end != text && *end == '\0' && *seconds_out >= 0;
}

static bool read_long(const char *text, uint64_t *number_out)
{
    char *end = NULL;
    *number_out = text == NULL ? 0 : strtoull(text, &end, 10);
    return text != NULL && end != text && *end == '\0';
}

static bool read_mix(const char *text, struct load_options *options)
{
    char end = '\0';
    return text != NULL &&
           sscanf(text, "%" SCNu32 ",%" SCNu32 ",%" SCNu32 "%c", &options->read_percent,
                  &options->cas_percent, &options->unique_percent, &end) == 3 &&
           options->read_percent <= 100 && options->cas_percent <= 100 &&
           options->unique_percent <= 100 &&
           options->read_percent + options->cas_percent + options->unique_percent <= 100;
}

/* False: no option, or its value is wrong. */
static bool take_option(struct load_options *options, const char *name, const char *value)
{
    if (strcmp(name, "--socket") == 0 && options->socket_count < LOAD_SOCKETS_MAX) {
        options->sockets[options->socket_count++] = value;
    } else if (strcmp(name, "--prefix") == 0) {
        options->prefix = value;
        return value != NULL && strlen(value) < 64;
    } else if (strcmp(name, "--record") == 0) {
        options->record = value;
    } else if (strcmp(name, "--acks") == 0) {
        options->acks = value;
    } else if (strcmp(name, "--seconds") == 0) {
        return read_seconds(value, &options->seconds);
    } else if (strcmp(name, "--wait-back") == 0) {
        return read_seconds(value, &options->wait_back);
    } else if (strcmp(name, "--op-timeout") == 0) {
        return read_seconds(value, &options->op_timeout);
    } else if (strcmp(name, "--silence") == 0) {
        return read_seconds(value, &options->silence);
    } else if (strcmp(name, "--operations") == 0) {
        return read_long(value, &options->operations);
    } else if (strcmp(name, "--seed") == 0) {
        return read_long(value, &options->seed);
    } else if (strcmp(name, "--clients") == 0) {
        return read_count(value, 1, 4096, &options->clients);
    } else if (strcmp(name, "--connections") == 0) {
        return read_count(value, 1, 256, &options->connections);
    } else if (strcmp(name, "--keys") == 0) {
        return read_count(value, 1, 1024, &options->keys);
    } else if (strcmp(name, "--value-bytes") == 0) {
        return read_count(value, 20, 1u << 20, &options->value_bytes);
    } else if (strcmp(name, "--mix") == 0) {
        return read_mix(value, options);
    } else {
        return false;
    }
    return value != NULL;
}

static void print_json(const struct load_result *result)
{
    (void)printf("{\"operations\":%" PRIu64 ",\"reads\":%" PRIu64 ",\"writes\":%" PRIu64
                 ",\"cas_done\":%" PRIu64 ",\"cas_other\":%" PRIu64 ",\"refused\":%" PRIu64
                 ",\"unknown\":%" PRIu64 ",\"retried\":%" PRIu64 ",\"reconnects\":%" PRIu64
                 ",\"silent\":%" PRIu64 ",\"uniques\":%" PRIu64 ",\"lost\":%" PRIu64
                 ",\"seconds\":%.3f,\"p50_us\":%" PRIu32 ",\"p99_us\":%" PRIu32
                 ",\"max_us\":%" PRIu32 "}\n",
                 result->operations, result->reads, result->writes, result->cas_done,
                 result->cas_other, result->refused, result->unknown, result->retried,
                 result->reconnects, result->silent, result->uniques, result->lost, result->seconds,
                 result->p50_us, result->p99_us, result->max_us);
}

static void print_text(const struct load_result *result)
{
    (void)printf("%" PRIu64 " operations in %.2f s, %.0f/s: %" PRIu64 " reads, %" PRIu64
                 " writes, %" PRIu64 "+%" PRIu64 " compare-and-swaps; p50 %" PRIu32
                 " us, p99 %" PRIu32 " us, max %" PRIu32 " us\n",
                 result->operations, result->seconds,
                 result->seconds > 0 ? (double)result->operations / result->seconds : 0.0,
                 result->reads, result->writes, result->cas_done, result->cas_other, result->p50_us,
                 result->p99_us, result->max_us);
    (void)printf("%" PRIu64 " refused, %" PRIu64 " open, %" PRIu64 " answered by a repeat, %" PRIu64
                 " reconnections\n",
                 result->refused, result->unknown, result->retried, result->reconnects);
    (void)printf("%" PRIu64 " keys acknowledged once, %" PRIu64 " of them lost\n", result->uniques,
                 result->lost);
}

int main(int count, char **words)
{
    struct load_options options = {.prefix = "load/",
                                   .clients = 16,
                                   .connections = 4,
                                   .keys = 4,
                                   .value_bytes = 24,
                                   .read_percent = 30,
                                   .cas_percent = 20,
                                   .unique_percent = 20,
                                   .seconds = 5,
                                   .wait_back = 10,
                                   .op_timeout = 30,
                                   .seed = 1};
    const char *check = NULL;
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(words[i], "--sessions") == 0) {
            options.sessions = true;
        } else if (strcmp(words[i], "--json") == 0) {
            options.json = true;
        } else if (strcmp(words[i], "--check") == 0 && i + 1 < count) {
            check = words[++i];
        } else if (i + 1 >= count || !take_option(&options, words[i], words[i + 1])) {
            return wrong(words[i]);
        } else {
            i++;
        }
    }
    if (options.socket_count == 0) {
        (void)fputs(usage, stderr);
        return 2;
    }
    struct load_result result = {0};
    if (check != NULL) {
        load_check(options.sockets[0], check, options.op_timeout, &result);
    } else {
        load_run(&options, &result);
    }
    options.json ? print_json(&result) : print_text(&result);
    if (result.error != NULL) {
        (void)fprintf(stderr, "store-load: %s\n", result.error);
    }
    return result.lost > 0 ? 1 : result.error != NULL ? 2 : 0;
}
