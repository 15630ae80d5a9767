// SPDX-License-Identifier: GPL-3.0-or-later
// ByteReader against a plain model (two offsets), and ByteWriter
// against what was read: the input is a list of reads, then the bytes they read from.
#include <algorithm>
#include <vector>

#include "base/byte_writer.h"
#include "base/bytes.h"
#include "tests/fuzz/fuzz.h"

namespace cs {
namespace {

using fuzz::expect;

constexpr std::size_t kOperations = 16;

class Model {
 public:
  explicit Model(ByteView data) : data_(data), reader_(data) {}

  // One read, chosen by `operation`, of as much as `amount` says.
  void step(std::uint8_t operation, std::uint64_t amount) {
    const std::size_t before = reader_.position();
    const std::size_t left = reader_.remaining();
    expect(before + left == end_, "the reader has lost or found bytes");
    const bool done = read(operation % kOperations, amount);
    if (done) return;
    expect(reader_.position() == before && reader_.remaining() == left, "a failed read moved");
    expect(!reader_.failure("it").message().empty(), "a failure without words");
  }

 private:
  bool read(std::size_t operation, std::uint64_t amount) {
    switch (operation) {
      case 0:
        return number(&ByteReader::u8, &ByteBuilder::u8);
      case 1:
        return number(&ByteReader::u16be, &ByteBuilder::u16be);
      case 2:
        return number(&ByteReader::u32be, &ByteBuilder::u32be);
      case 3:
        return number(&ByteReader::u64be, &ByteBuilder::u64be);
      case 4:
        return number(&ByteReader::u16le, &ByteBuilder::u16le);
      case 5:
        return number(&ByteReader::u32le, &ByteBuilder::u32le);
      case 6:
        return number(&ByteReader::u64le, &ByteBuilder::u64le);
      case 7:
        return vec(&ByteReader::vec8, &ByteBuilder::vec8, amount);
      case 8:
        return vec(&ByteReader::vec16be, &ByteBuilder::vec16be, amount);
      case 9:
        return vec(&ByteReader::vec32be, &ByteBuilder::vec32be, amount);
      case 10:
        return vec(&ByteReader::vec32le, &ByteBuilder::vec32le, amount);
      case 11:
        return take(amount);
      case 12:
        return take_last(amount);
      case 13:
        return nested(amount);
      case 14:
        return copy_to(amount);
      default:
        return skip(amount);
    }
  }

  // What lies between the two positions is what a writer makes of the value.
  template <class T>
  bool number(bool (ByteReader::*get)(T&) noexcept, ByteBuilder& (ByteBuilder::*put)(T)) {
    T value = 0;
    const std::size_t at = reader_.position();
    const bool fits = sizeof(T) <= end_ - at;
    expect((reader_.*get)(value) == fits, "a number was read where there is none, or not read");
    if (!fits) return false;
    ByteBuilder builder(sizeof(T));
    (builder.*put)(value);
    same_bytes(builder.finish("a number").value(), at);
    return true;
  }

  bool vec(bool (ByteReader::*get)(std::size_t, ByteView&) noexcept,
           ByteBuilder& (ByteBuilder::*put)(ByteView), std::uint64_t max) {
    ByteView value;
    const std::size_t at = reader_.position();
    if (!(reader_.*get)(max, value)) return false;
    expect(value.size() <= max, "a length above its bound");
    inside(value);
    ByteBuilder builder(end_ - at);
    (builder.*put)(value);
    same_bytes(builder.finish("a vector").value(), at);
    return true;
  }

  bool take(std::uint64_t n) {
    ByteView value;
    const std::size_t at = reader_.position();
    const bool done = reader_.take(n, value);
    expect(done == (n <= end_ - at), "take does not keep to what remains");
    if (done) same_bytes(value, at);
    return done;
  }

  bool take_last(std::uint64_t n) {
    ByteView value;
    const bool done = reader_.take_last(n, value);
    expect(done == (n <= end_ - reader_.position()), "take_last does not keep to what remains");
    if (!done) return false;
    end_ -= n;
    expect(std::equal(value.begin(), value.end(), data_.begin() + signed_of(end_)), "other bytes");
    return true;
  }

  bool nested(std::uint64_t n) {
    ByteReader inner;
    const std::size_t at = reader_.position();
    const bool done = reader_.nested(n, inner);
    expect(done == (n <= end_ - at), "nested does not keep to what remains");
    if (!done) return false;
    expect(inner.position() == at && inner.remaining() == n, "nested gave another piece");
    same_bytes(inner.rest(), at);
    return true;
  }

  bool copy_to(std::uint64_t n) {
    std::vector<std::uint8_t> into(std::min<std::uint64_t>(n, data_.size() + 1));
    const std::size_t at = reader_.position();
    const bool done = reader_.copy_to(into);
    expect(done == (into.size() <= end_ - at), "copy_to does not keep to what remains");
    if (done) same_bytes(into, at);
    return done;
  }

  bool skip(std::uint64_t n) {
    const bool fits = n <= end_ - reader_.position();
    expect(reader_.skip(n) == fits, "skip does not keep to what remains");
    return fits;
  }

  void same_bytes(ByteView value, std::size_t at) const {
    expect(reader_.position() == at + value.size(), "the position is not behind what was read");
    expect(std::equal(value.begin(), value.end(), data_.begin() + signed_of(at)), "other bytes");
  }
  void inside(ByteView value) const {
    expect(value.data() >= data_.data() && value.data() + value.size() <= data_.data() + end_,
           "a view outside the bytes");
  }
  static std::ptrdiff_t signed_of(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }

  ByteView data_;
  ByteReader reader_;
  std::size_t end_ = data_.size();
};

}  // namespace
}  // namespace cs

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cs::ByteReader input(cs::ByteView(data, size));
  cs::ByteView operations;
  if (!input.vec8(255, operations)) return 0;
  cs::Model model(input.rest());
  for (std::size_t i = 0; i + 1 < operations.size(); i += 2) {
    // 255 stands for the sizes that wrap around when they are added to something.
    const std::uint64_t amount =
        operations[i + 1] == 255 ? ~std::uint64_t{0} - i : operations[i + 1];
    model.step(operations[i], amount);
  }
  return 0;
}
