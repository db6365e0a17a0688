# %% Write the numbers.
print("nothing yet")
