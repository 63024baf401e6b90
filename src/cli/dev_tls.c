#include "cli/dev_tls.h"

#include <stdio.h>
#include <time.h>

#define DATE_MAX 16u

/* What the nodes find too. */
static void changed(void *state, struct pd_tls_credentials *credentials)
{
    (void)state;
    pd_tls_credentials_release(credentials);
}

static void note(void *state, const char *text)
{
    (void)state;
    (void)printf("TLS | %s\n", text);
    (void)fflush(stdout);
}

enum pd_status pd_dev_tls_open(struct pd_host *host, const struct pd_settings *settings,
                               char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX],
                               struct pd_dev_tls *tls_out)
{
    const struct pd_gateway_certificates_config config = {
        .host = host,
        .files = {.certificate = settings->cert_file,
                  .key = settings->key_file,
                  .authorities = settings->trusted_ca_file},
        .look_ns = PD_GATEWAY_CERTIFICATES_LOOK_NS,
        .changed = changed,
        .note = note,
    };
    struct pd_tls_credentials *credentials = NULL;
    *tls_out = (struct pd_dev_tls){.settings = settings};
    if (settings->cert_file == NULL) {
        return PD_OK;
    }
    enum pd_status status =
        pd_gateway_certificates_open(&config, text, &credentials, &tls_out->certificates);
    if (status == PD_OK) {
        tls_out->end_s = pd_tls_credentials_end_s(credentials);
        pd_tls_credentials_release(credentials);
    }
    return status;
}

enum pd_status pd_dev_tls_start(struct pd_dev_tls *tls)
{
    return tls->certificates == NULL ? PD_OK : pd_gateway_certificates_start(tls->certificates);
}

void pd_dev_tls_close(struct pd_dev_tls *tls)
{
    pd_gateway_certificates_close(tls->certificates);
    tls->certificates = NULL;
}

const char *pd_dev_tls_scheme(const struct pd_dev_tls *tls)
{
    return tls->certificates == NULL ? "http" : "https";
}

static void print_date(uint64_t seconds)
{
    char date[DATE_MAX] = "?";
    struct tm parts;
    time_t when = (time_t)seconds;
    if (gmtime_r(&when, &parts) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%d", &parts);
    }
    (void)printf("%s", date);
}

void pd_dev_tls_print(const struct pd_dev_tls *tls)
{
    (void)printf(
        "  security   this machine only. Nodes prove their keys to each other and encrypt; ");
    if (tls->certificates == NULL) {
        (void)printf("clients do neither:\n"
                     "             who can connect to these ports may read and write everything\n");
        return;
    }
    (void)printf("clients speak TLS:\n             the certificate of %s, good until ",
                 tls->settings->cert_file);
    print_date(tls->end_s);
    (void)printf("; read again when the files change.\n");
    if (tls->settings->trusted_ca_file == NULL) {
        (void)printf("             Clients need no certificate: who can connect to these ports may "
                     "read and write everything\n");
    } else {
        (void)printf("             Clients need a certificate that an authority of %s has signed; "
                     "with one they may read and write everything\n",
                     tls->settings->trusted_ca_file);
    }
}

void pd_dev_tls_print_etcdctl(const struct pd_dev_tls *tls)
{
    if (tls->certificates == NULL) {
        return;
    }
    (void)printf("--cacert CA.pem ");
    if (tls->settings->trusted_ca_file != NULL) {
        (void)printf("--cert CLIENT.pem --key CLIENT.key ");
    }
}
