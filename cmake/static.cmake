# haze_static_program(<target> <program>)
#
# <target> links the objects of <program> again, into one stripped file without shared libraries: <build>/static/<program>.
# Debian has no static library of fmt, Highway and toml++. Their compiled parts are made from their headers (tools/static).
# Nothing builds <target> unless it is asked for.
function(haze_static_program target program)
  set(own_libraries)
  foreach(layer tools diffusion nn autograd engine)
    list(APPEND own_libraries haze_${layer})
  endforeach()
  list(TRANSFORM own_libraries REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE archives)

  add_executable(${target} EXCLUDE_FROM_ALL $<TARGET_OBJECTS:${program}> static/fmt.cpp static/highway.cpp static/toml.cpp)
  add_dependencies(${target} ${own_libraries})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${program} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/static
                                             LINK_DEPENDS "${archives}")
  foreach(library fmt::fmt hwy::hwy tomlplusplus::tomlplusplus)
    target_include_directories(${target} PRIVATE $<TARGET_PROPERTY:${library},INTERFACE_INCLUDE_DIRECTORIES>)
    target_compile_options(${target} PRIVATE $<TARGET_PROPERTY:${library},INTERFACE_COMPILE_OPTIONS>)
  endforeach()
  target_link_options(${target} PRIVATE -static -s -Wl,--gc-sections)
  target_link_libraries(${target} PRIVATE ${archives} gomp boost_context png z pthread dl rt)
  if(HAZE_WITH_CUDA)
    # The linker warns of dlopen(), which is never called: the device cuda refuses to start in such a program.
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  endif()
endfunction()
