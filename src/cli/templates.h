/* templates - the files that `pando new` makes projects of, as they lay in sdk/ when this program
 * was built. sdk/README.md says what belongs there.
 *
 * Order      All files of a language follow one another; the table is ended by a row without a
 *            language. cmake/embed_templates.cmake writes it. */
#ifndef PD_CLI_TEMPLATES_H
#define PD_CLI_TEMPLATES_H

#include <stdbool.h>
#include <stddef.h>

struct pd_template_file {
    const char *language;
    const char *path; /* in the project; of the SDK's own files "pando/..." */
    const unsigned char *bytes;
    size_t size;
    bool is_template; /* names are filled in; the SDK's files stay as they are */
};

/* The file of a template that is not written: the commands that build and run the project. */
#define PD_TEMPLATE_NEXT "NEXT"

extern const struct pd_template_file pd_template_files[];

#endif
