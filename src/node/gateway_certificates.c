#include "node/gateway_certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

#define FILES 3u /* certificate, key, authorities */
#define KEY 1u
#define DAY_S (UINT64_C(24) * 60 * 60)
#define SECOND_NS UINT64_C(1000000000)

/* What tells one content of a file from the next. */
struct mark {
    bool is_there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct pd_gateway_certificates {
    struct pd_gateway_certificates_config config;
    const char *paths[FILES]; /* NULL: none */
    struct mark read[FILES];  /* that were read, good or not */
    struct mark seen[FILES];  /* at the last look */
    struct pd_thread thread;
    struct pd_event event;
    atomic_bool stops;
    bool is_started;
};

/* -- Reading ----------------------------------------------------------------------------------- */

static struct mark mark_of(const struct stat *about)
{
    return (struct mark){true, about->st_dev, about->st_ino, about->st_size, about->st_mtim};
}

static bool is_same(const struct mark *left, const struct mark *right)
{
    return left->is_there == right->is_there && left->device == right->device &&
           left->inode == right->inode && left->size == right->size &&
           left->changed.tv_sec == right->changed.tv_sec &&
           left->changed.tv_nsec == right->changed.tv_nsec;
}

static bool judge(const struct stat *about, const char *path, char *text)
{
    if (!S_ISREG(about->st_mode) || about->st_size == 0 ||
        (uint64_t)about->st_size > PD_GATEWAY_CERTIFICATES_FILE_MAX) {
        (void)snprintf(text, PD_GATEWAY_CERTIFICATES_TEXT_MAX, "'%s' is no file of 1 byte to 1 MiB",
                       path);
        return false;
    }
    return true;
}

static bool read_whole(int file, uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        ssize_t got = read(file, bytes + at, size - at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += (size_t)got;
    }
    return true;
}

static bool holds(struct pd_span bytes, const char *words)
{
    return memmem(bytes.bytes, bytes.size, words, strlen(words)) != NULL;
}

static bool judge_key(const struct stat *about, const char *path, struct pd_span bytes, char *text)
{
    if (holds(bytes, "-----BEGIN CERTIFICATE") && !holds(bytes, "PRIVATE KEY-----")) {
        (void)snprintf(text, PD_GATEWAY_CERTIFICATES_TEXT_MAX,
                       "'%s' is to be the key, and is a certificate: are --cert-file and "
                       "--key-file swapped?",
                       path);
        return false;
    }
    if ((about->st_mode & 027) != 0) {
        (void)snprintf(text, PD_GATEWAY_CERTIFICATES_TEXT_MAX,
                       "the key '%s' has mode %03o: others may have read it. Make a new one, or "
                       "`chmod 600 %s` if nobody has",
                       path, (unsigned)(about->st_mode & 0777), path);
        return false;
    }
    return true;
}

/* The file's bytes, to be freed. */
static bool read_file(const char *path, bool is_key, struct mark *mark_out,
                      struct pd_span *span_out, uint8_t **bytes_out, char *text)
{
    struct stat about;
    uint8_t *bytes = NULL;
    bool is_read = false;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *mark_out = (struct mark){0};
    if (file < 0 || fstat(file, &about) != 0) {
        (void)snprintf(text, PD_GATEWAY_CERTIFICATES_TEXT_MAX, "cannot read '%s': %s", path,
                       strerror(errno));
        goto cleanup;
    }
    *mark_out = mark_of(&about);
    if (!judge(&about, path, text)) {
        goto cleanup;
    }
    size_t size = (size_t)about.st_size;
    bytes = pd_alloc(size);
    is_read = bytes != NULL && read_whole(file, bytes, size);
    if (!is_read) {
        (void)snprintf(text, PD_GATEWAY_CERTIFICATES_TEXT_MAX, "cannot read '%s'", path);
        pd_free(bytes);
        goto cleanup;
    }
    if (is_key && !judge_key(&about, path, (struct pd_span){bytes, size}, text)) {
        explicit_bzero(bytes, size);
        pd_free(bytes);
        is_read = false;
        goto cleanup;
    }
    *span_out = (struct pd_span){bytes, size};
    *bytes_out = bytes;

cleanup:
    if (file >= 0) {
        (void)close(file);
    }
    return is_read;
}

/* All of them, and what they make. */
static enum pd_status read_all(struct pd_gateway_certificates *certificates, char *text,
                               struct pd_tls_credentials **credentials_out)
{
    struct pd_span spans[FILES] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    uint8_t *bytes[FILES] = {NULL, NULL, NULL};
    char more[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    enum pd_status status = PD_OK;
    for (uint32_t i = 0; i < FILES; i++) {
        /* After the first bad one the others are looked at for their marks. */
        if (certificates->paths[i] != NULL &&
            !read_file(certificates->paths[i], i == KEY, &certificates->read[i], &spans[i],
                       &bytes[i], status == PD_OK ? text : more)) {
            status = PD_ERR_INVALID;
        }
    }
    if (status == PD_OK) {
        char why[PD_TLS_TEXT_MAX];
        const struct pd_tls_files files = {spans[0], spans[1], spans[2]};
        status = pd_tls_credentials_make(&files, why, credentials_out);
        if (status != PD_OK) {
            const char *authorities = certificates->paths[2];
            (void)snprintf(
                text, PD_GATEWAY_CERTIFICATES_TEXT_MAX,
                "cannot use '%.100s' with '%.100s'%s%.100s%s: %.200s", certificates->paths[0],
                certificates->paths[KEY], authorities == NULL ? "" : " and '",
                authorities == NULL ? "" : authorities, authorities == NULL ? "" : "'", why);
        }
    }
    for (uint32_t i = 0; i < FILES; i++) {
        if (bytes[i] != NULL) {
            explicit_bzero(bytes[i], spans[i].size);
            pd_free(bytes[i]);
        }
    }
    return status;
}

/* -- Telling ----------------------------------------------------------------------------------- */

static void note(const struct pd_gateway_certificates *certificates, const char *text)
{
    if (certificates->config.note != NULL) {
        certificates->config.note(certificates->config.state, text);
    }
}

static void note_end(const struct pd_gateway_certificates *certificates,
                     const struct pd_tls_credentials *credentials, bool is_first)
{
    char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    struct pd_host *host = certificates->config.host;
    uint64_t now_s = host->ops->wall_ns(host) / SECOND_NS;
    uint64_t end_s = pd_tls_credentials_end_s(credentials);
    if (end_s <= now_s) {
        (void)snprintf(text, sizeof text,
                       "the certificate '%.200s' has ended: clients refuse it; replace it",
                       certificates->paths[0]);
    } else if (end_s - now_s < PD_GATEWAY_CERTIFICATES_SOON_S) {
        (void)snprintf(text, sizeof text,
                       "the certificate '%.200s' ends in %" PRIu64 " days: replace it",
                       certificates->paths[0], (end_s - now_s) / DAY_S);
    } else if (!is_first) {
        (void)snprintf(text, sizeof text,
                       "the certificate '%.200s' was read again; new connections get it",
                       certificates->paths[0]);
    } else {
        return;
    }
    note(certificates, text);
}

/* -- Looking ----------------------------------------------------------------------------------- */

/* Whether what is there is not what was read, and rests. */
static bool have_changed(struct pd_gateway_certificates *certificates)
{
    bool is_new = false;
    bool rests = true;
    for (uint32_t i = 0; i < FILES; i++) {
        struct stat about;
        struct mark mark = {0};
        if (certificates->paths[i] == NULL) {
            continue;
        }
        if (stat(certificates->paths[i], &about) == 0) {
            mark = mark_of(&about);
        }
        is_new = is_new || !is_same(&mark, &certificates->read[i]);
        rests = rests && is_same(&mark, &certificates->seen[i]);
        certificates->seen[i] = mark;
    }
    return is_new && rests;
}

static void look(struct pd_gateway_certificates *certificates)
{
    char why[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    struct pd_tls_credentials *credentials = NULL;
    if (!have_changed(certificates)) {
        return;
    }
    if (read_all(certificates, why, &credentials) != PD_OK) {
        (void)snprintf(text, sizeof text,
                       "the changed certificate is not used, the one before goes on: %.400s", why);
        note(certificates, text);
        return;
    }
    note_end(certificates, credentials, false);
    certificates->config.changed(certificates->config.state, credentials);
}

static void run(void *argument)
{
    struct pd_gateway_certificates *certificates = argument;
    struct pd_host *host = certificates->config.host;
    while (!atomic_load(&certificates->stops)) {
        look(certificates);
        (void)host->ops->event_wait(host, &certificates->event,
                                    pd_host_now_ns(host) + certificates->config.look_ns);
    }
}

/* -- Opening ----------------------------------------------------------------------------------- */

enum pd_status pd_gateway_certificates_open(const struct pd_gateway_certificates_config *config,
                                            char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX],
                                            struct pd_tls_credentials **credentials_out,
                                            struct pd_gateway_certificates **certificates_out)
{
    text[0] = '\0';
    pd_assert(config->files.certificate != NULL);
    pd_assert(config->files.key != NULL);
    struct pd_gateway_certificates *certificates = pd_alloc_zeroed(1, sizeof *certificates);
    if (certificates == NULL) {
        (void)snprintf(text, PD_GATEWAY_CERTIFICATES_TEXT_MAX, "no memory");
        return PD_ERR_NO_MEMORY;
    }
    certificates->config = *config;
    certificates->paths[0] = config->files.certificate;
    certificates->paths[KEY] = config->files.key;
    certificates->paths[2] = config->files.authorities;
    enum pd_status status = read_all(certificates, text, credentials_out);
    if (status != PD_OK) {
        pd_free(certificates);
        return status;
    }
    note_end(certificates, *credentials_out, true);
    *certificates_out = certificates;
    return PD_OK;
}

enum pd_status pd_gateway_certificates_check(struct pd_host *host,
                                             const struct pd_gateway_certificates_files *files,
                                             char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX])
{
    const struct pd_gateway_certificates_config config = {.host = host, .files = *files};
    struct pd_tls_credentials *credentials = NULL;
    struct pd_gateway_certificates *certificates = NULL;
    enum pd_status status =
        pd_gateway_certificates_open(&config, text, &credentials, &certificates);
    if (status == PD_OK) {
        pd_tls_credentials_release(credentials);
        pd_gateway_certificates_close(certificates);
    }
    return status;
}

enum pd_status pd_gateway_certificates_start(struct pd_gateway_certificates *certificates)
{
    struct pd_host *host = certificates->config.host;
    pd_assert(!certificates->is_started);
    enum pd_status status = host->ops->thread_start(host, "pando-certs", PD_THREAD_LOW, run,
                                                    certificates, &certificates->thread);
    certificates->is_started = status == PD_OK;
    return status;
}

void pd_gateway_certificates_close(struct pd_gateway_certificates *certificates)
{
    if (certificates == NULL) {
        return;
    }
    if (certificates->is_started) {
        struct pd_host *host = certificates->config.host;
        atomic_store(&certificates->stops, true);
        host->ops->event_set(host, &certificates->event);
        host->ops->thread_join(host, certificates->thread);
    }
    pd_free(certificates);
}
