// SPDX-License-Identifier: GPL-3.0-or-later
// A value or the Error that stands in its way. Every expected failure of the project is returned
// like this; exceptions are left for what nobody plans for (out of memory).
#pragma once

#include <concepts>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/panic.h"

namespace cs {

// Owns its T, which may be move-only. There is no conversion to bool, so that a Result<bool> is not
// mistaken for its value: ask ok(). Asking for the side that is not there is a broken contract and
// ends the process. As thread-safe as T.
template <class T>
class [[nodiscard]] Result {
  static_assert(std::is_object_v<T> && !std::is_same_v<std::remove_cv_t<T>, Error>);

 public:
  // NOLINTBEGIN(google-explicit-constructor): `return value;` and `return error;` are the point.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  // For `return "text";` and unique_ptr<Derived>. Not for numbers: there the compiler should see,
  // and warn of, a conversion that narrows.
  template <class U>
  requires(std::is_class_v<T>&& std::convertible_to<U, T> &&
           !std::same_as<std::remove_cvref_t<U>, T> && !std::convertible_to<U, Error> &&
           !std::same_as<std::remove_cvref_t<U>, Result>)
      // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): it does not see what is required.
      Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }

  [[nodiscard]] T& value() & { return *checked(std::get_if<0>(&state_)); }
  [[nodiscard]] const T& value() const& { return *checked(std::get_if<0>(&state_)); }
  // By value, so that nothing can refer into a Result that is gone.
  [[nodiscard]] T value() && { return std::move(*checked(std::get_if<0>(&state_))); }

  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T operator*() && { return std::move(*this).value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const& { return *failed(std::get_if<1>(&state_)); }
  [[nodiscard]] Error error() && { return std::move(*failed(std::get_if<1>(&state_))); }

  // What this layer was doing; costs nothing on success, nor does the form that computes its text.
  Result context(std::string_view layer) && {
    return std::move(*this).context([layer] { return layer; });
  }
  template <std::invocable Text>
  Result context(Text&& text) && {
    if (ok()) return std::move(*this);
    return std::move(*this).error().context(std::forward<Text>(text)());
  }

 private:
  template <class Side>
  static Side* checked(Side* side) {
    if (side == nullptr) [[unlikely]]
      panic("value of a failed Result");
    return side;
  }
  template <class Side>
  static Side* failed(Side* side) {
    if (side == nullptr) [[unlikely]]
      panic("error of a successful Result");
    return side;
  }

  std::variant<T, Error> state_;
};

// Nothing to tell but success: `return {};`.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): `return error;` is the point.
  Result(Error error) : error_(std::move(error)) {}

  [[nodiscard]] bool ok() const noexcept { return !error_.has_value(); }

  [[nodiscard]] const Error& error() const& {
    if (ok()) [[unlikely]]
      panic("error of a successful Result");
    return *error_;
  }
  [[nodiscard]] Error error() && {
    if (ok()) [[unlikely]]
      panic("error of a successful Result");
    return std::move(*error_);
  }

  Result context(std::string_view layer) && {
    if (!ok()) error_ = std::move(*error_).context(layer);
    return std::move(*this);
  }
  template <std::invocable Text>
  Result context(Text&& text) && {
    if (!ok()) error_ = std::move(*error_).context(std::forward<Text>(text)());
    return std::move(*this);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace cs

// CS_TRY(auto policy, read_policy(path).context("starting")): on failure returns the error from the
// enclosing function (any Result), else declares or assigns. Two statements: not below a bare `if`.
// A structured binding has a comma in it; take the pair first.
#define CS_TRY(target, ...) CS_TRY_NAMED(CS_JOIN(cs_try_, __LINE__), target, __VA_ARGS__)
// CS_CHECK(write_all(fd, bytes)): the same for a Result<void>. One statement.
#define CS_CHECK(...) CS_CHECK_NAMED(CS_JOIN(cs_check_, __LINE__), __VA_ARGS__)

#define CS_TRY_NAMED(name, target, ...) \
  auto name = (__VA_ARGS__);            \
  if (!name.ok()) [[unlikely]]          \
    return std::move(name).error();     \
  target = std::move(name).value()
#define CS_CHECK_NAMED(name, ...)                           \
  do {                                                      \
    if (auto name = (__VA_ARGS__); !name.ok()) [[unlikely]] \
      return std::move(name).error();                       \
  } while (false)
#define CS_JOIN(a, b) CS_JOIN_EXPANDED(a, b)
#define CS_JOIN_EXPANDED(a, b) a##b
