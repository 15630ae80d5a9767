// SPDX-License-Identifier: GPL-3.0-or-later
// A line that somebody types at keymsd's control socket: refused, or a verb with arguments that
// nobody who walks or copies them is led down too far by; and as said again it is the same.
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "keyms/daemon/control.h"
#include "tests/fuzz/fuzz.h"

using cs::fuzz::expect;
using nlohmann::json;

namespace {

std::size_t depth_of(const json& request) {
  std::size_t depth = 0;
  for (std::vector<const json*> level{&request}; !level.empty(); ++depth) {
    std::vector<const json*> below;
    for (const json* const one : level) {
      for (const json& inner : *one) {
        if (inner.is_structured()) below.push_back(&inner);
      }
    }
    level = std::move(below);
  }
  return depth;
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
