/* certificates - the real maker of certificates, by GnuTLS. */
#ifndef PD_HOST_CERTIFICATES_H
#define PD_HOST_CERTIFICATES_H

#include "base/host_certificates.h"

/* Static. */
const struct pd_certificates *pd_real_certificates(void);

#endif
