/* app_values - the kinds of values that an application file has, with words for what is wrong with
 * one. Private to app*.c. Each function returns true and writes its output only if the value is
 * good; else it notes the mistake and says what is allowed. */
#ifndef PD_NODE_APP_VALUES_H
#define PD_NODE_APP_VALUES_H

#include "node/app_yaml.h"

/* "true" or "false". */
bool pd_app_read_bool(struct pd_app_notes *notes, const struct pd_yaml_node *node, bool *out);

/* A whole number from min to max. */
bool pd_app_read_number(struct pd_app_notes *notes, const struct pd_yaml_node *node, uint64_t min,
                        uint64_t max, uint64_t *out);

/* "500ms", "5s", "2m", "1h": milliseconds, from min_ms. `also` names the words that are allowed
 * instead. */
bool pd_app_read_duration(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                          uint64_t min_ms, const char *also, uint64_t *ms_out);

/* "65536", "64KiB", "16MiB", "1GiB": bytes, at most max. */
bool pd_app_read_size(struct pd_app_notes *notes, const struct pd_yaml_node *node, uint64_t max,
                      uint64_t *bytes_out);

/* One of the words, by place. The list ends with NULL. */
bool pd_app_read_choice(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                        const char *const *words, uint32_t *out);

/* A text of 1 to size_max bytes, copied by reference. `what` names it: "a file name". */
bool pd_app_read_text(struct pd_app_notes *notes, const struct pd_yaml_node *node, const char *what,
                      size_t size_max, const char **out);

/* A name: letters, digits, "_", "-" and "."; 1 to 64 of them. */
bool pd_app_read_name(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                      const char **out);

/* An integer, or {v128: "0x..."}. */
bool pd_app_read_argument(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                          struct pd_app_argument *out);

bool pd_app_is_mapping(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                       const char *what);
bool pd_app_is_sequence(struct pd_app_notes *notes, const struct pd_yaml_node *node,
                        const char *what);

/* The word that is most likely meant, or NULL. The list ends with NULL. */
const char *pd_app_nearest(const char *word, const char *const *words);

/* Note every key of a mapping that is not in the list. `where` names the mapping: "a worker". */
void pd_app_check_keys(struct pd_app_notes *notes, const struct pd_yaml_node *mapping,
                       const char *where, const char *const *allowed);

#endif
