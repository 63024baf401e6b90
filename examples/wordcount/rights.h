/* rights - what mappers and reducers may do: no more than their work asks for. */
#ifndef WORDCOUNT_RIGHTS_H
#define WORDCOUNT_RIGHTS_H

#include <stdint.h>

/* Configurations for pando_spawn; PANDO_INHERIT where this process may not make any. */
uint64_t rights_of_mappers(void);  /* reading this process's directories */
uint64_t rights_of_reducers(void); /* nothing */

#endif
