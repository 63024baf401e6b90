/* pando new: a project to begin from, with the SDK of its language in it, out of the program
 * itself.
 *
 * Bounds     Paths of the table are short (sdk/README.md); a name has up to 64 bytes.
 * Failure    What was written is taken away again, so that a second try finds nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/templates.h"

#define NAME_MAX_SIZE 64u
#define PATH_MAX_SIZE 256u
#define NO_LANGUAGE UINT32_MAX

struct arguments {
    uint32_t language; /* of languages, in the order of the option's choices */
};

struct language {
    const char *word;
    const char *shown;
    const char *tool;   /* the program that builds the project */
    const char *source; /* where to get it */
};

static const struct language languages[] = {
    {"c", "C", "clang",
     "Debian: apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32 make"},
    {"rust", "Rust", "cargo", "https://rustup.rs, and then: rustup target add wasm32-wasip1"},
    {"go", "Go", "go", "https://go.dev/dl, 1.24 or newer"},
    {"assemblyscript", "AssemblyScript", "npm", "https://nodejs.org, 20 or newer"},
    {"zig", "Zig", "zig",
     "pip install ziglang==0.14.1, and then type 'python3 -m ziglang' for 'zig'; or "
     "https://ziglang.org"},
};

/* The project's name, and as it may stand where '-' may not. */
struct names {
    const char *name;
    char identifier[NAME_MAX_SIZE + 1];
};

/* -- Names ------------------------------------------------------------------------------------- */

/* What would be taken for something else: the SDK, what cargo makes beside a program, the libraries
 * of Rust, and its words. For all languages alike: a project's name should outlive its language. */
static const char *const kept_words[] = {
    "pando",  "build",   "deps",    "examples", "incremental", "alloc",    "core",   "proc_macro",
    "std",    "test",    "as",      "async",    "await",       "break",    "const",  "continue",
    "crate",  "dyn",     "else",    "enum",     "extern",      "false",    "fn",     "for",
    "if",     "impl",    "in",      "let",      "loop",        "match",    "mod",    "move",
    "mut",    "pub",     "ref",     "return",   "self",        "static",   "struct", "super",
    "trait",  "true",    "type",    "unsafe",   "use",         "where",    "while",  "abstract",
    "become", "box",     "do",      "final",    "macro",       "override", "priv",   "try",
    "typeof", "unsized", "virtual", "yield"};

static bool is_lower(char letter)
{
    return letter >= 'a' && letter <= 'z';
}

static bool is_of_name(char letter)
{
    return is_lower(letter) || (letter >= '0' && letter <= '9') || letter == '-' || letter == '_';
}

/* What may have been meant by a name that cannot be: "My App" is "my-app". "": nothing near. */
static void suggest(const char *name, char suggested[NAME_MAX_SIZE + 1])
{
    size_t size = strnlen(name, NAME_MAX_SIZE + 1);
    suggested[0] = '\0';
    if (size > NAME_MAX_SIZE) {
        return;
    }
    for (size_t i = 0; i <= size; i++) {
        char letter = name[i];
        if (letter >= 'A' && letter <= 'Z') {
            letter = (char)(letter - 'A' + 'a');
        }
        suggested[i] = letter == '\0' || is_of_name(letter) ? letter : '-';
    }
    if (!is_lower(suggested[0]) || suggested[size - 1] == '-') {
        suggested[0] = '\0';
    }
}

/* PD_EXIT_CODE_OK, or it was told what is wrong. */
static int check_name(const char *name)
{
    size_t size = strnlen(name, NAME_MAX_SIZE + 1);
    size_t good = 0;
    while (good < size && is_of_name(name[good])) {
        good++;
    }
    if (size == 0 || size > NAME_MAX_SIZE || good < size || !is_lower(name[0])) {
        char suggested[NAME_MAX_SIZE + 1];
        suggest(name, suggested);
        return pd_command_usage(
            &pd_command_new,
            "'%s' is no name of a project: a name begins with a lower-case "
            "letter and goes on with those, digits, '-' and '_', up to %u%s%s%s",
            name, NAME_MAX_SIZE, suggested[0] == '\0' ? "" : ". Did you mean '", suggested,
            suggested[0] == '\0' ? "" : "'?");
    }
    for (size_t i = 0; i < sizeof kept_words / sizeof kept_words[0]; i++) {
        if (strcmp(name, kept_words[i]) == 0) {
            return pd_command_usage(&pd_command_new,
                                    "'%s' has a meaning of its own to a language or its tools: "
                                    "choose another name, '%s-guest' for one",
                                    name, name);
        }
    }
    return PD_EXIT_CODE_OK;
}

static void make_names(const char *name, struct names *names_out)
{
    size_t size = strlen(name);
    pd_assert(size <= NAME_MAX_SIZE);
    names_out->name = name;
    for (size_t i = 0; i <= size; i++) {
        names_out->identifier[i] = name[i] == '-' ? '_' : name[i];
    }
}

/* -- One file ---------------------------------------------------------------------------------- */

/* What stands for the mark that `at` begins with, and *size_out its size; NULL: it is no mark. */
static const char *find_mark(const char *at, size_t left, const struct names *names,
                             size_t *size_out)
{
    static const char name[] = "@NAME@";
    static const char identifier[] = "@IDENTIFIER@";
    if (left >= sizeof name - 1 && memcmp(at, name, sizeof name - 1) == 0) {
        *size_out = sizeof name - 1;
        return names->name;
    }
    if (left >= sizeof identifier - 1 && memcmp(at, identifier, sizeof identifier - 1) == 0) {
        *size_out = sizeof identifier - 1;
        return names->identifier;
    }
    return NULL;
}

/* Errors stay in the stream. */
static void write_filled(FILE *to, const struct pd_template_file *file, const struct names *names)
{
    const char *at = (const char *)file->bytes;
    size_t left = file->size;
    while (left > 0) {
        const char *mark = file->is_template ? memchr(at, '@', left) : NULL;
        size_t plain = mark == NULL ? left : (size_t)(mark - at);
        (void)fwrite(at, 1, plain, to);
        at += plain;
        left -= plain;
        if (left > 0) {
            size_t size = 1;
            const char *text = find_mark(at, left, names, &size);
            (void)(text == NULL ? fputc('@', to) : fputs(text, to));
            at += size;
            left -= size;
        }
    }
}

/* The part of `path` up to its slash number `depth`, from 0. False: it has fewer. */
static bool parent_of(const char *path, unsigned depth, char parent[PATH_MAX_SIZE])
{
    const char *slash = strchr(path, '/');
    for (unsigned i = 0; i < depth && slash != NULL; i++) {
        slash = strchr(slash + 1, '/');
    }
    if (slash == NULL) {
        return false;
    }
    size_t size = (size_t)(slash - path);
    pd_assert(size < PATH_MAX_SIZE);
    memcpy(parent, path, size);
    parent[size] = '\0';
    return true;
}

/* False: errno says why. */
static bool write_file(int folder, const struct pd_template_file *file, const struct names *names)
{
    char parent[PATH_MAX_SIZE];
    for (unsigned depth = 0; parent_of(file->path, depth, parent); depth++) {
        if (mkdirat(folder, parent, 0777) != 0 && errno != EEXIST) {
            return false;
        }
    }
    int descriptor = openat(folder, file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        return false;
    }
    FILE *stream = fdopen(descriptor, "w");
    if (stream == NULL) {
        (void)close(descriptor);
        return false;
    }
    write_filled(stream, file, names);
    bool is_bad = fflush(stream) != 0 || ferror(stream) != 0;
    int reason = errno;
    if (fclose(stream) != 0 && !is_bad) {
        return false;
    }
    errno = reason;
    return !is_bad;
}

/* -- The project ------------------------------------------------------------------------------- */

static const struct pd_template_file *first_file(const char *language)
{
    const struct pd_template_file *file = pd_template_files;
    while (file->language != NULL && strcmp(file->language, language) != 0) {
        file++;
    }
    return file->language == NULL ? NULL : file;
}

static bool is_of(const struct pd_template_file *file, const char *language)
{
    return file->language != NULL && strcmp(file->language, language) == 0;
}

static bool is_written(const struct pd_template_file *file)
{
    return !file->is_template || strcmp(file->path, PD_TEMPLATE_NEXT) != 0;
}

/* Take away the files from `first` to `last`, and the folders that are empty then. */
static void take_away(int folder, const char *name, const struct pd_template_file *first,
                      const struct pd_template_file *last)
{
    char parent[PATH_MAX_SIZE];
    for (const struct pd_template_file *file = first; file <= last; file++) {
        (void)unlinkat(folder, file->path, 0);
    }
    for (const struct pd_template_file *file = first; file <= last; file++) {
        unsigned depth = 0;
        while (parent_of(file->path, depth, parent)) {
            depth++;
        }
        while (depth > 0 && parent_of(file->path, --depth, parent)) {
            (void)unlinkat(folder, parent, AT_REMOVEDIR); /* not while another file is in it */
        }
    }
    (void)rmdir(name);
}

static int write_project(const struct pd_template_file *first, const struct names *names)
{
    if (mkdir(names->name, 0777) != 0) {
        return errno == EEXIST
                   ? pd_command_failed("'%s' is here already: choose another name, or move it away",
                                       names->name)
                   : pd_command_failed("cannot make the folder '%s': %s", names->name,
                                       strerror(errno));
    }
    int folder = open(names->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) {
        int reason = errno;
        (void)rmdir(names->name);
        return pd_command_failed("cannot open the folder '%s': %s", names->name, strerror(reason));
    }
    int code = PD_EXIT_CODE_OK;
    for (const struct pd_template_file *file = first;
         code == PD_EXIT_CODE_OK && is_of(file, first->language); file++) {
        if (is_written(file) && !write_file(folder, file, names)) {
            code = pd_command_failed("cannot write '%s/%s': %s; nothing of it was kept",
                                     names->name, file->path, strerror(errno));
            take_away(folder, names->name, first, file);
        }
    }
    (void)close(folder);
    return code;
}

/* The commands of the template's NEXT, each line behind two blanks. */
static void print_next(const struct pd_template_file *first, const struct names *names)
{
    (void)printf("  cd %s\n", names->name);
    for (const struct pd_template_file *file = first; is_of(file, first->language); file++) {
        const char *at = (const char *)file->bytes;
        const char *end = at + file->size;
        while (!is_written(file) && at < end) {
            const char *line_end = memchr(at, '\n', (size_t)(end - at));
            struct pd_template_file line = *file;
            line.bytes = (const unsigned char *)at;
            line.size = (size_t)((line_end == NULL ? end : line_end) - at);
            (void)fputs("  ", stdout);
            write_filled(stdout, &line, names);
            (void)fputc('\n', stdout);
            at += line.size + 1;
        }
    }
}

/* Whether PATH has a program of this name. */
static bool is_in_path(const char *program)
{
    char path[PATH_MAX_SIZE];
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        int size = (int)strcspn(at, ":");
        int written = snprintf(path, sizeof path, "%.*s/%s", size, at, program);
        if (written > 0 && (size_t)written < sizeof path && access(path, X_OK) == 0) {
            return true;
        }
        at += size;
        at += *at == ':' ? 1 : 0;
    }
    return false;
}

static void print_tool(const struct language *language)
{
    if (!is_in_path(language->tool)) {
        (void)printf("\nThere is no '%s' in PATH. To get it: %s\n", language->tool,
                     language->source);
    }
}

static int run_new(int count, char **words)
{
    struct arguments arguments = {.language = NO_LANGUAGE};
    struct names names;
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_new, &count, words, &arguments, &code)) {
        return code;
    }
    if (arguments.language == NO_LANGUAGE) {
        return pd_command_usage(&pd_command_new, "--lang is missing: in which language?");
    }
    pd_assert(arguments.language < sizeof languages / sizeof languages[0]);
    const struct language *language = &languages[arguments.language];
    const struct pd_template_file *first = first_file(language->word);
    if (first == NULL) {
        return pd_command_failed("this build of pando has no template for %s", language->shown);
    }
    code = check_name(words[0]);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    make_names(words[0], &names);
    code = write_project(first, &names);
    if (code == PD_EXIT_CODE_OK) {
        (void)printf("%s/ is a guest in %s, with the SDK in %s/pando/. Next:\n\n", names.name,
                     language->shown, names.name);
        print_next(first, &names);
        print_tool(language);
    }
    return code;
}

static const struct pd_option options[] = {
    {.name = "--lang",
     .letter = "-l",
     .kind = PD_OPTION_CHOICE,
     .value = "c|rust|go|assemblyscript|zig",
     .text = "the language to write it in",
     .offset = offsetof(struct arguments, language)},
    {.name = NULL},
};

const struct pd_command pd_command_new = {
    .name = "new",
    .arguments = "NAME",
    .summary = "begin a guest in C, Rust, Go, AssemblyScript or Zig, ready to build and run",
    .help = "A new folder NAME gets a small program that starts a process and asks it something, "
            "and Pando's SDK\n"
            "for the language in NAME/pando: the project builds offline, with the tools of its "
            "language alone.\n"
            "What to type next is printed, and where to get the language when it is not here. A "
            "folder that is there already is never touched.\n",
    .options = options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando new --lang c hello\n"
                "pando new -l rust hello && cd hello && cargo run\n",
    .run = run_new,
};
