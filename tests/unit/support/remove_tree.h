/* remove_tree - a folder that a test made, with all in it. */
#ifndef PD_TEST_SUPPORT_REMOVE_TREE_H
#define PD_TEST_SUPPORT_REMOVE_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static inline int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* 0, or not all of it is gone. Links are not followed. */
static inline int remove_tree(const char *path)
{
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
