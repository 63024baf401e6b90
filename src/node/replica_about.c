#include "node/replica_about.h"

void pd_replica_about_put(struct pd_kv_writer *writer, const struct pd_replica_about *about)
{
    pd_kv_answer_put_number(writer, about->revision);
    pd_kv_answer_put_number(writer, about->compacted_revision);
    pd_kv_answer_put_number(writer, (int64_t)about->committed_index);
    pd_kv_answer_put_number(writer, (int64_t)about->applied_index);
    pd_kv_answer_put_number(writer, (int64_t)about->hash);
    pd_kv_answer_put_number(writer, (int64_t)about->key_count);
    pd_kv_answer_put_number(writer, about->disk_is_low ? 1 : 0);
    pd_kv_answer_put_number(writer, about->version);
}

void pd_replica_about_get(struct pd_kv_reader *reader, struct pd_replica_about *about_out)
{
    about_out->revision = pd_kv_answer_number(reader);
    about_out->compacted_revision = pd_kv_answer_number(reader);
    about_out->committed_index = (uint64_t)pd_kv_answer_number(reader);
    about_out->applied_index = (uint64_t)pd_kv_answer_number(reader);
    about_out->hash = (uint64_t)pd_kv_answer_number(reader);
    about_out->key_count = (uint64_t)pd_kv_answer_number(reader);
    about_out->disk_is_low = pd_kv_answer_number(reader) != 0;
    about_out->version = (uint32_t)pd_kv_answer_number(reader);
}
