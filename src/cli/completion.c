/* pando completion: scripts for shells, made of the table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"

/* -- Pieces ------------------------------------------------------------------------------------ */

/* Text within single quotes of a shell; a byte of `escaped` behind a backslash. */
static void put_quoted(FILE *out, const char *text, const char *escaped)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\'') {
            (void)fputs("'\\''", out);
        } else {
            if (strchr(escaped, *at) != NULL) {
                (void)fputc('\\', out);
            }
            (void)fputc(*at, out);
        }
    }
}

/* "a|b" as "a b". */
static void put_choices(FILE *out, const char *choices)
{
    for (const char *at = choices; *at != '\0'; at++) {
        (void)fputc(*at == '|' ? ' ' : *at, out);
    }
}

static bool is_shown(const struct pd_option *option)
{
    return !option->is_hidden;
}

/* The words of the two commands that take one of a list: shells, commands. */
static bool has_words(const struct pd_command *command)
{
    return command == &pd_command_completion || command == &pd_command_man;
}

static void put_words(FILE *out, const struct pd_command *command)
{
    if (command == &pd_command_completion) {
        put_choices(out, command->arguments);
        return;
    }
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        (void)fprintf(out, "%s%s", i == 0 ? "" : " ", pd_commands[i]->name);
    }
}

/* -- bash -------------------------------------------------------------------------------------- */

static void bash_value(FILE *out, const struct pd_command *command, const struct pd_option *option)
{
    if (option->kind == PD_OPTION_FLAG || !is_shown(option)) {
        return;
    }
    (void)fprintf(out, "    ' %s:%s'", command->name, option->name);
    if (option->letter != NULL) {
        (void)fprintf(out, "|' %s:%s'", command->name, option->letter);
    }
    if (option->kind == PD_OPTION_CHOICE) {
        (void)fputs(") mapfile -t COMPREPLY < <(compgen -W '", out);
        put_choices(out, option->value);
        (void)fputs("' -- \"$current\") ;;\n", out);
    } else if (option->kind == PD_OPTION_FOLDER) {
        (void)fputs(") mapfile -t COMPREPLY < <(compgen -d -- \"$current\") ;;\n", out);
    } else if (option->kind == PD_OPTION_FILE) {
        (void)fputs(") mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;\n", out);
    } else {
        (void)fputs(") ;; # a value of one's own\n", out);
    }
}

static void bash_words(FILE *out, const struct pd_command *command)
{
    (void)fprintf(out, "    ' %s') words='", command->name);
    for (size_t i = 0; command->children != NULL && command->children[i] != NULL; i++) {
        (void)fprintf(out, "%s ", pd_command_word(command->children[i]));
    }
    if (has_words(command)) {
        put_words(out, command);
        (void)fputc(' ', out);
    }
    for (const struct pd_option *at = command->options; at != NULL && at->name != NULL; at++) {
        if (is_shown(at)) {
            (void)fprintf(out, "%s%s%s ", at->name, at->letter == NULL ? "" : " ",
                          at->letter == NULL ? "" : at->letter);
        }
    }
    (void)fputs("--help' ;;\n", out);
}

static void print_bash(FILE *out)
{
    (void)fputs("# bash completion of pando. To use it: source <(pando completion bash)\n"
                "_pando() {\n"
                "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
                "  local at verb='' words=''\n"
                "  for ((at = 1; at < COMP_CWORD; at++)); do\n"
                "    case \"$verb ${COMP_WORDS[at]}\" in\n",
                out);
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        (void)fprintf(out, "    %s' %s'", i == 0 ? "" : "|", pd_command_at(i)->name);
        (void)fputs(pd_command_at(i + 1) == NULL ? ")\n" : "\\\n", out);
    }
    (void)fputs("      verb=\"$verb ${COMP_WORDS[at]}\" ;;\n"
                "    esac\n"
                "  done\n"
                "  COMPREPLY=()\n"
                "  case \"$verb:$before\" in\n",
                out);
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        const struct pd_option *at = pd_command_at(i)->options;
        for (; at != NULL && at->name != NULL; at++) {
            bash_value(out, pd_command_at(i), at);
        }
    }
    (void)fputs("    *)\n    case \"$verb\" in\n    '') words='", out);
    for (size_t i = 0; pd_commands[i] != NULL; i++) {
        (void)fprintf(out, "%s ", pd_commands[i]->name);
    }
    (void)fputs("--help --version' ;;\n", out);
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        bash_words(out, pd_command_at(i));
    }
    (void)fputs("    esac\n"
                "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;\n"
                "  esac\n"
                "}\n"
                "complete -o default -F _pando pando\n",
                out);
}

/* -- zsh --------------------------------------------------------------------------------------- */

static void zsh_action(FILE *out, const struct pd_option *option)
{
    if (option->kind == PD_OPTION_FLAG) {
        return;
    }
    (void)fputc(':', out);
    put_quoted(out, option->value, ":");
    (void)fputc(':', out);
    if (option->kind == PD_OPTION_CHOICE) {
        (void)fputc('(', out);
        put_choices(out, option->value);
        (void)fputc(')', out);
    } else if (option->kind == PD_OPTION_FOLDER) {
        (void)fputs("_files -/", out);
    } else if (option->kind == PD_OPTION_FILE) {
        (void)fputs("_files", out);
    }
}

static void zsh_option(FILE *out, const struct pd_option *option, const char *name)
{
    (void)fprintf(out, " \\\n      '%s[", name);
    put_quoted(out, option->text, "[]:\\");
    (void)fputc(']', out);
    zsh_action(out, option);
    (void)fputc('\'', out);
}

static void zsh_describe(FILE *out, const struct pd_command *const *commands)
{
    (void)fputs("    commands=(", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        (void)fprintf(out, "\n      '%s:", pd_command_word(commands[i]));
        put_quoted(out, commands[i]->summary, ":\\");
        (void)fputc('\'', out);
    }
    (void)fputs(")\n    _describe command commands ;;\n", out);
}

static void zsh_command(FILE *out, const struct pd_command *command)
{
    (void)fprintf(out, "  ' %s')\n", command->name);
    if (command->children != NULL) {
        zsh_describe(out, command->children);
        return;
    }
    (void)fputs("    _arguments '--help[what it does, with examples]'", out);
    for (const struct pd_option *at = command->options; at != NULL && at->name != NULL; at++) {
        if (is_shown(at)) {
            zsh_option(out, at, at->name);
            if (at->letter != NULL) {
                zsh_option(out, at, at->letter);
            }
        }
    }
    if (has_words(command)) {
        (void)fputs(" \\\n      '*:word:(", out);
        put_words(out, command);
        (void)fputs(")' ;;\n", out);
        return;
    }
    (void)fputs(" \\\n      '*:word:_files' ;;\n", out);
}

static void print_zsh(FILE *out)
{
    (void)fputs(
        "#compdef pando\n"
        "# zsh completion of pando. To use it: pando completion zsh > \"${fpath[1]}/_pando\"\n"
        "_pando() {\n"
        "  local verb='' used=1 at\n"
        "  local -a commands\n"
        "  for ((at = 2; at < CURRENT; at++)); do\n"
        "    case \"$verb ${words[at]}\" in\n",
        out);
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        (void)fprintf(out, "    %s' %s'", i == 0 ? "" : "|", pd_command_at(i)->name);
        (void)fputs(pd_command_at(i + 1) == NULL ? ")\n" : "\\\n", out);
    }
    (void)fputs("      verb=\"$verb ${words[at]}\"; used=$at ;;\n"
                "    esac\n"
                "  done\n"
                "  shift $((used - 1)) words\n"
                "  (( CURRENT -= used - 1 ))\n"
                "  case \"$verb\" in\n"
                "  '')\n",
                out);
    zsh_describe(out, pd_commands);
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        zsh_command(out, pd_command_at(i));
    }
    (void)fputs(
        "  esac\n"
        "}\n"
        "if [ \"$funcstack[1]\" = _pando ]; then _pando \"$@\"; else compdef _pando pando; fi\n",
        out);
}

/* -- fish -------------------------------------------------------------------------------------- */

static void fish_option(FILE *out, const struct pd_command *command, const struct pd_option *option)
{
    (void)fprintf(out, "complete -c pando -n '__pando_at \"%s\"' -l %s", command->name,
                  option->name + 2);
    if (option->letter != NULL) {
        (void)fprintf(out, " -s %s", option->letter + 1);
    }
    if (option->kind == PD_OPTION_CHOICE) {
        (void)fputs(" -x -a '", out);
        put_choices(out, option->value);
        (void)fputc('\'', out);
    } else if (option->kind == PD_OPTION_FOLDER) {
        (void)fputs(" -x -a '(__fish_complete_directories)'", out);
    } else if (option->kind == PD_OPTION_FILE) {
        (void)fputs(" -r -F", out);
    } else if (option->kind != PD_OPTION_FLAG) {
        (void)fputs(" -x", out);
    }
    (void)fputs(" -d '", out);
    put_quoted(out, option->text, "\\");
    (void)fputs("'\n", out);
}

static void fish_word(FILE *out, const char *verb, const struct pd_command *command)
{
    (void)fprintf(out, "complete -c pando -f -n '__pando_at \"%s\"' -a %s -d '", verb,
                  pd_command_word(command));
    put_quoted(out, command->summary, "\\");
    (void)fputs("'\n", out);
}

static void print_fish(FILE *out)
{
    (void)fputs("# fish completion of pando. To use it: pando completion fish | source\n"
                "function __pando_at\n"
                "  set -l verb\n"
                "  for word in (commandline -opc)[2..]\n"
                "    switch (string join ' ' $verb $word)\n"
                "    case",
                out);
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        (void)fprintf(out, " '%s'", pd_command_at(i)->name);
    }
    (void)fputs("\n      set -a verb $word\n"
                "    end\n"
                "  end\n"
                "  test \"$verb\" = \"$argv[1]\"\n"
                "end\n",
                out);
    for (unsigned i = 0; pd_command_at(i) != NULL; i++) {
        const struct pd_command *command = pd_command_at(i);
        const char *blank = strchr(command->name, ' ');
        char parent[32] = "";
        (void)snprintf(parent, sizeof parent, "%.*s",
                       blank == NULL ? 0 : (int)(blank - command->name), command->name);
        fish_word(out, parent, command);
        if (has_words(command)) {
            (void)fprintf(out, "complete -c pando -f -n '__pando_at \"%s\"' -a '", command->name);
            put_words(out, command);
            (void)fputs("'\n", out);
        }
        for (const struct pd_option *at = command->options; at != NULL && at->name != NULL; at++) {
            if (is_shown(at)) {
                fish_option(out, command, at);
            }
        }
    }
}

/* -- The command ------------------------------------------------------------------------------- */

bool pd_completion_print(FILE *out, const char *shell)
{
    static const struct {
        const char *shell;
        void (*print)(FILE *out);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shell, shells[i].shell) == 0) {
            shells[i].print(out);
            return true;
        }
    }
    return false;
}

static int run_completion(int count, char **words)
{
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_completion, &count, words, NULL, &code)) {
        return code;
    }
    return pd_completion_print(stdout, words[0])
               ? PD_EXIT_CODE_OK
               : pd_command_usage(&pd_command_completion, "'%s' is none of bash, zsh, fish",
                                  words[0]);
}

const struct pd_command pd_command_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "print a script with which a shell completes commands and options",
    .words_min = 1,
    .words_max = 1,
    .examples = "source <(pando completion bash)\n"
                "pando completion zsh > \"${fpath[1]}/_pando\"\n"
                "pando completion fish > ~/.config/fish/completions/pando.fish\n",
    .run = run_completion,
};
