// SPDX-License-Identifier: GPL-3.0-or-later
// A line that somebody types at keymsd's control socket: refused, or a verb with arguments that
// nobody who walks or copies them is led down too far by; and as said again it is the same.
#include <nlohmann/json.hpp>

#include "keyms/daemon/control.h"
#include "tests/fuzz/fuzz.h"

using cs::fuzz::expect;
using nlohmann::json;

namespace {

std::size_t depth_of(const json& value) {
  std::size_t most = 0;
  if (!value.is_structured()) return most;
  for (const json& below : value) most = std::max(most, depth_of(below));
  return most + 1;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto request = cs::keyms::read_request(line);
  if (!request.ok()) {
    expect(!request.error().message().empty(), "refused without words");
    return 0;
  }
  expect((*request)["verb"].is_string() && (*request)["arguments"].is_object(), "not a request");
  expect(depth_of(*request) <= cs::keyms::ControlServer::most_depth, "nested too deep");
  const auto again = cs::keyms::read_request(request->dump());
  expect(again.ok() && *again == *request, "another one when said again");
  return 0;
}
