# Stops the build if an object of an instruction set defines a symbol that others may
# share: of two copies of an inline function the linker keeps one, and if that is the
# AVX-512 one, a machine without AVX-512 runs it. Called as
#   cmake -D NM=nm -D NAMESPACE=avx2 -P check_symbols.cmake -- OBJECT…
string(LENGTH "${NAMESPACE}" length)
set(own "_ZZ?N[VKRO]*7fastrnn${length}${NAMESPACE}")  # fastrnn::avx2::…, mangled

foreach(i RANGE 1 ${CMAKE_ARGC})
  if("${CMAKE_ARGV${i}}" STREQUAL "--")
    set(objects TRUE)
  elseif(objects AND i LESS CMAKE_ARGC)
    execute_process(
      COMMAND "${NM}" -g --defined-only "${CMAKE_ARGV${i}}"
      OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCHALL "[^ \n]+\n" symbols "${listing}")
    if(NOT symbols)
      message(FATAL_ERROR "${CMAKE_ARGV${i}}: no symbols found")
    endif()
    foreach(symbol IN LISTS symbols)
      string(STRIP "${symbol}" symbol)
      # The address sanitizer's mark of a global bears its name.
      if(NOT symbol MATCHES "^(__odr_asan(_gen)?[._])?${own}")
        message(FATAL_ERROR
          "${CMAKE_ARGV${i}}: ${symbol} is not in the namespace fastrnn::${NAMESPACE}")
      endif()
    endforeach()
  endif()
endforeach()
