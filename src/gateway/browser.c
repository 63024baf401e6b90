#include "gateway/browser.h"

#include <inttypes.h>
#include <string.h>

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}"
    "h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.1rem;margin-top:2rem}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1.2rem .2rem 0;"
    "vertical-align:top;font-weight:normal}th{color:#666}"
    "code,pre{font-family:ui-monospace,monospace;font-size:.9em}"
    "pre{background:#f4f4f4;padding:.8rem;overflow:auto}.bad{color:#b00020}.good{color:#1b6e2e}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}"
    "a{color:#8ab4f8}th{color:#999}.bad{color:#ff8a80}.good{color:#81c995}}";

/* As text: nothing in it is markup. */
static void put(struct pd_text *text, const char *words)
{
    for (; *words != '\0'; words++) {
        switch (*words) {
        case '<':
            pd_text_puts(text, "&lt;");
            break;
        case '>':
            pd_text_puts(text, "&gt;");
            break;
        case '&':
            pd_text_puts(text, "&amp;");
            break;
        case '"':
            pd_text_puts(text, "&quot;");
            break;
        case '\'':
            pd_text_puts(text, "&#39;");
            break;
        default:
            pd_text_put(text, words, 1);
            break;
        }
    }
}

static void row(struct pd_text *text, const char *name, const char *format, uint64_t value)
{
    pd_text_format(text, "<tr><th>%s</th><td>", name);
    switch (format[0]) {
    case 'x':
        pd_text_format(text, "<code>%" PRIx64 "</code>", value);
        break;
    default:
        pd_text_format(text, "%" PRIu64 "%s", value, format);
        break;
    }
    pd_text_puts(text, "</td></tr>\n");
}

static void write_state(const struct pd_browser_page *page, struct pd_text *text)
{
    const struct pd_http1_survey *survey = page->survey;
    const char *wrong = survey->wrong[PD_HTTP1_STEP_STATUS];
    if (wrong[0] != '\0') {
        pd_text_puts(text, "<p class=\"bad\">The node does not tell its state: ");
        put(text, wrong);
        pd_text_puts(text, "</p>\n");
        return;
    }
    if (survey->leader == page->member_id) {
        pd_text_puts(text, "<p class=\"good\">This node leads.</p>\n");
    } else if (survey->leader != 0) {
        pd_text_format(text, "<p class=\"good\">%s node <code>%" PRIx64 "</code>.</p>\n",
                       survey->is_learner ? "This node learns from" : "This node follows",
                       survey->leader);
    } else {
        pd_text_puts(text, "<p class=\"bad\">No leader is known: nothing can be written.</p>\n");
    }
    if (survey->disk_is_low) {
        pd_text_puts(text, "<p class=\"bad\">The disk is nearly full: writes are refused.</p>\n");
    }
    pd_text_puts(text, "<table>\n");
    row(text, "cluster", "x", page->cluster_id);
    row(text, "node", "x", page->member_id);
    row(text, "revision", "", (uint64_t)survey->revision);
    row(text, "term", "", survey->term);
    row(text, "index committed", "", survey->committed_index);
    row(text, "index applied", "", survey->applied_index);
    row(text, "store", " bytes", (uint64_t)survey->store_bytes);
    pd_text_puts(text, "</table>\n");
}

/* Only what is plainly a page's address becomes a link. */
static void put_url(struct pd_text *text, const char *url)
{
    bool is_link = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    if (is_link) {
        pd_text_puts(text, "<a href=\"");
        put(text, url);
        pd_text_puts(text, "/\">");
    }
    put(text, url);
    pd_text_puts(text, is_link ? "</a> " : " ");
}

static void write_member(const struct pd_browser_page *page, const Etcdserverpb__Member *member,
                         struct pd_text *text)
{
    pd_text_format(text, "<tr><td><code>%" PRIx64 "</code></td><td>", member->id);
    put(text, member->name);
    pd_text_format(text, "</td><td>%s</td><td>",
                   member->islearner                    ? "learner"
                   : member->id == page->survey->leader ? "leader"
                                                        : "voter");
    for (size_t i = 0; i < member->n_clienturls; i++) {
        put_url(text, member->clienturls[i]);
    }
    pd_text_puts(text, "</td><td>");
    for (size_t i = 0; i < member->n_peerurls; i++) {
        put_url(text, member->peerurls[i]);
    }
    pd_text_puts(text, "</td></tr>\n");
}

static void write_members(const struct pd_browser_page *page, struct pd_text *text)
{
    pd_text_puts(text, "<h2>Members</h2>\n");
    if (page->members == NULL) {
        pd_text_puts(text, "<p class=\"bad\">not known</p>\n");
        return;
    }
    pd_text_puts(text, "<table>\n<tr><th>node</th><th>name</th><th>role</th><th>clients</th>"
                       "<th>peers</th></tr>\n");
    for (size_t i = 0; i < page->members->n_members; i++) {
        write_member(page, page->members->members[i], text);
    }
    pd_text_puts(text, "</table>\n");
}

/* Keys and values are base64 there: what stands here is "greeting" and "hello". */
static void write_hints(const struct pd_browser_page *page, struct pd_text *text)
{
    pd_text_puts(text, "<h2>Look further</h2>\n<p><a href=\"/metrics\">/metrics</a> &middot; "
                       "<a href=\"/health\">/health</a> &middot; "
                       "<a href=\"/readyz?verbose\">/readyz?verbose</a> &middot; "
                       "<a href=\"/livez?verbose\">/livez?verbose</a> &middot; "
                       "<a href=\"/version\">/version</a></p>\n<h2>Try</h2>\n<pre>");
    pd_text_puts(text, "etcdctl --endpoints ");
    put(text, page->host);
    pd_text_puts(text, " put greeting hello\ncurl http://");
    put(text, page->host);
    pd_text_puts(text, "/v3/kv/range -d '{\"key\":\"Z3JlZXRpbmc=\"}'\ncurl -N http://");
    put(text, page->host);
    pd_text_puts(text, "/v3/watch -d '{\"create_request\":{\"key\":\"Z3JlZXRpbmc=\"}}'</pre>\n"
                       "<p>Whoever reaches this port may read and write everything: there are no "
                       "passwords yet.</p>\n");
}

void pd_browser_write(const struct pd_browser_page *page, struct pd_text *text)
{
    pd_text_puts(text, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                       "<meta name=\"viewport\" content=\"width=device-width\">"
                       "<title>Pando</title><style>");
    pd_text_puts(text, style);
    pd_text_puts(text, "</style></head><body>\n<h1>Pando</h1>\n<p>A node of a cluster; it speaks "
                       "etcd ");
    put(text, page->version);
    pd_text_puts(text, " on this port: gRPC, JSON and this page.</p>\n");
    write_state(page, text);
    write_members(page, text);
    write_hints(page, text);
    pd_text_puts(text, "</body></html>\n");
}
