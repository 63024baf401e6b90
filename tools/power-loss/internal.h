/* internal - the inside of the model, for model*.c alone. */
#ifndef POWER_LOSS_INTERNAL_H
#define POWER_LOSS_INTERNAL_H

#include "power-loss/model.h"

#define PD_POWER_BLOCK 4096u
#define PD_POWER_SECTOR 512u
#define PD_POWER_NAME_MAX 255u

struct pd_power_file;

/* A content that a block has had since it was durable. */
struct pd_power_version {
    uint64_t call;
    uint8_t *bytes; /* NULL: zeroes */
};

struct pd_power_block {
    uint8_t *durable; /* NULL: zeroes */
    struct pd_power_version *versions;
    size_t count;
    size_t capacity;
};

struct pd_power_length {
    uint64_t call;
    uint64_t size;
};

struct pd_power_name {
    char text[PD_POWER_NAME_MAX + 1];
    struct pd_power_file *file;
};

struct pd_power_names {
    struct pd_power_name *entries;
    size_t count;
    size_t capacity;
};

/* What a folder's names became: `to` is there or is gone, and `from`, if any, is gone. */
struct pd_power_change {
    uint64_t done_at;
    char from[PD_POWER_NAME_MAX + 1]; /* empty: none */
    char to[PD_POWER_NAME_MAX + 1];
    struct pd_power_file *file; /* NULL: `to` is gone */
};

struct pd_power_file {
    struct pd_power_file *next;
    uint64_t inode;
    bool is_folder;
    bool is_ordered; /* of a folder, in a cut: names are lost from the end */
    bool is_unknown; /* content that the trace does not tell */
    /* Of a file. */
    struct pd_power_block *blocks;
    size_t block_count;
    size_t block_capacity;
    size_t *dirty; /* blocks with versions */
    size_t dirty_count;
    size_t dirty_capacity;
    uint64_t size;
    uint64_t durable_size;
    struct pd_power_length *lengths;
    size_t length_count;
    size_t length_capacity;
    /* Of a folder. */
    struct pd_power_names now;
    struct pd_power_names durable;
    struct pd_power_change *changes;
    size_t change_count;
    size_t change_capacity;
    char image[PD_POWER_NAME_MAX * 8]; /* where a cut has put it; empty: nowhere yet */
};

/* A call that has begun. */
struct pd_power_call {
    const uint8_t *record;      /* in the trace; NULL: there is no such call */
    struct pd_power_file *file; /* that its inode named when it began */
    uint64_t begun_at;
    uint64_t done_at; /* 0: it is not over */
};

struct pd_power_model {
    struct pd_power_file *files; /* all there ever were, newest first */
    struct pd_power_file *root;
    struct pd_power_call *calls; /* by number */
    size_t call_count;
    size_t call_capacity;
    size_t offset; /* of the trace: what comes next */
    uint64_t records;
    uint64_t time_ns;
    char text[PD_POWER_TEXT_MAX];
};

/* PD_ERR_IO or PD_ERR_CORRUPT, with words. */
enum pd_status pd_power_fail(struct pd_power_model *model, enum pd_status status,
                             const char *format, ...) PD_PRINTF(3, 4);

/* model_file.c: the content of a file */
struct pd_power_file *pd_power_file_new(struct pd_power_model *model, uint64_t inode);
void pd_power_file_free(struct pd_power_file *file);
/* bytes NULL: zeroes. */
void pd_power_file_write(struct pd_power_file *file, uint64_t call, uint64_t offset,
                         uint64_t length, const uint8_t *bytes);
void pd_power_file_resize(struct pd_power_file *file, uint64_t call, uint64_t size);
/* What was over before `at` is durable; `only`: of that call alone, 0: of all. */
void pd_power_file_sync(struct pd_power_file *file, const struct pd_power_call *calls, uint64_t at,
                        uint64_t only);
/* All of it is durable: the beginning. */
void pd_power_file_settle(struct pd_power_file *file);
/* The newest content of a block, NULL: zeroes. */
const uint8_t *pd_power_file_block(const struct pd_power_file *file, size_t block);

/* model_names.c: the names of a folder */
struct pd_power_file *pd_power_names_find(const struct pd_power_names *names, const char *name);
void pd_power_names_apply(struct pd_power_names *names, const struct pd_power_change *change);
void pd_power_names_copy(struct pd_power_names *to, const struct pd_power_names *from);
/* `change` happened in the folder. */
void pd_power_folder_change(struct pd_power_file *folder, const struct pd_power_change *change);
void pd_power_folder_sync(struct pd_power_file *folder, uint64_t at);
/* The folder that holds `path`, whose last part goes into `name`. NULL: there is none. */
struct pd_power_file *pd_power_folder_of(struct pd_power_model *model, const char *path,
                                         size_t size, char name[PD_POWER_NAME_MAX + 1]);

#endif
