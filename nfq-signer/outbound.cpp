// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/outbound.h"

#include <algorithm>
#include <array>

#include "base/panic.h"

namespace cs {

void OutboundBatch::close(OutboundKey& key, std::span<const Digest> digests) {
  digests_.assign(digests.begin(), digests.end());
  close_anew(key);
}

void OutboundBatch::close_anew(OutboundKey& key) {
  key_ = &key;
  id_.number = key.take_batch_number();
  id_.lane = key.lane();
  id_.count = static_cast<std::uint16_t>(digests_.size());
  id_.salt = random_salt();
  const BatchHash hash(key.scope(), id_);
  statement_ = make_statement(key.scope(), id_, tree_.build(hash, digests_));
}

ExtensionFields OutboundBatch::fields_of(std::size_t index,
                                         const std::optional<Original>& original) const noexcept {
  const KeyScope& scope = key_->scope();
  return {.batch = id_.number,
          .key = scope.key,
          .pcr_tag = scope.pcr_tag(),
          .lane = id_.lane,
          .index = static_cast<std::uint16_t>(index),
          .count = id_.count,
          .suite = scope.suite,
          .original = original};
}

std::size_t OutboundBatch::extension_size(const Layout& at, std::size_t index,
                                          const std::optional<Original>& original) const noexcept {
  return cs::extension_size(at, fields_of(index, original));
}

void OutboundBatch::write_extensions(std::size_t first,
                                     std::span<const std::optional<Original>> originals,
                                     std::span<const ByteSpan> out) const noexcept {
  if (out.size() > at_once || originals.size() != out.size())
    panic("OutboundBatch: not as many extensions as are written at once");
  std::array<Gate::Job, at_once> jobs;
  std::array<ByteSpan, at_once> tags;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t index = first + i;
    const ExtensionParts parts = write_fields(fields_of(index, originals[i]), out[i]);
    tree_.copy_path(static_cast<std::uint32_t>(index), parts.path);
    std::copy(signature_.begin(), signature_.end(), parts.signature.begin());
    std::copy(id_.salt.begin(), id_.salt.end(), parts.salt.begin());
    jobs[i] = {&key_->gate(), &digests_[index], out[i]};
    tags[i] = parts.tag;
  }
  Gate::make_tags(std::span(jobs).first(out.size()));
  for (std::size_t i = 0; i < out.size(); ++i)
    std::copy(jobs[i].tag.begin(), jobs[i].tag.end(), tags[i].begin());
}

}  // namespace cs
