// SPDX-License-Identifier: GPL-3.0-or-later
// Any text as a list of accepted files: an unsigned one that is accepted is exactly what would be
// written of its entries, and accepts them.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/hex.h"
#include "keyms/evidence/digest_list.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Its entries by a reader of its own, as simple as the format allows once it is known to be kept.
std::vector<cs::keyms::AcceptedFile> entries_of(std::string_view text) {
  std::vector<cs::keyms::AcceptedFile> files;
  for (int header = 0; header < 5; ++header) text.remove_prefix(text.find('\n') + 1);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    cs::keyms::AcceptedFile file;
    const auto digest = cs::hex_decode(line.substr(0, 64), 32);
    cs::fuzz::expect(digest.ok(), "an entry without a digest");
    std::ranges::copy(*digest, file.digest.begin());
    if (line.size() > 64) file.path = line.substr(66);
    files.push_back(file);
    text.remove_prefix(line.size() + 1);
  }
  return files;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto list = cs::keyms::DigestList::parse(text);
  if (!list.ok() || list->key()) return 0;
  const auto files = entries_of(text);
  cs::fuzz::expect(files.size() == list->entries(), "another number of entries");
  for (const auto& file : files) {
    cs::fuzz::expect(list->accepts(file.digest, file.path), "an entry that is not accepted");
  }
  const auto written = cs::keyms::format_digest_list(list->name(), list->version(), files);
  cs::fuzz::expect(written.ok() && *written == text, "not what was read");
  return 0;
}
